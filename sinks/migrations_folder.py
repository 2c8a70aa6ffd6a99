"""The numbered migrations in `sinks/migrations`, as text."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
_FILE = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, the sha256 of its text, its statements in order."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Every migration, by number. Raises ValueError where a name or a number is wrong."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path}: a migration is called NNNN_name.sql")
        number = int(match.group(1))
        if number != len(found) + 1:
            raise ValueError(f"{path}: number {number} follows {len(found)}; numbers are 1, 2, 3, ...")
        text = path.read_text()
        found.append(
            Migration(number, path.stem, hashlib.sha256(text.encode()).hexdigest(), tuple(statements(text)))
        )
    return found


def statements(text: str) -> list[str]:
    """The statements of a file: each ends with a semicolon at the end of a line; `--` lines are comments."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    found = re.split(r"(?<=;)\n", "\n".join(lines) + "\n")
    return [statement.strip() for statement in found if statement.strip()]
