"""Golden bytes: what each version wrote, kept so that every later one still reads it.

`python -m tests.contract.golden` (`make golden`) writes the folder of the version in pyproject.toml
from the examples. Folders of earlier versions are never written again. It also writes the hashes of the media
buyer's contents.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.media_buyer.definition import media_buyer
from schemas.catalog import plain_schema, topics
from schemas.codec import unframe
from schemas.examples import examples, framed_examples

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
AGENT = GOLDEN / "media_buyer.json"


@dataclass(frozen=True)
class Dump:
    """What one version wrote to one topic."""

    version: str
    topic: str
    schema_id: int
    schema: dict[str, Any]
    values: tuple[bytes, ...]
    records: tuple[Any, ...]
    """The same as JSON, as that version read them."""

    @property
    def path(self) -> Path:
        """Its file."""
        return GOLDEN / self.version / f"{self.topic}.json"


def current_version() -> str:
    """The version in pyproject.toml."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def current() -> Iterator[Dump]:
    """What this version writes: its examples."""
    for spec in topics().values():
        if spec.record is not None:
            values = framed_examples(spec.name)
            records = tuple(as_json(record.model_dump()) for record in examples(spec.name))
            schema_id, _ = unframe(values[0])
            yield Dump(current_version(), spec.name, schema_id, plain_schema(spec.record), values, records)


def stored() -> Iterator[Dump]:
    """Every dump below `tests/golden`."""
    for path in sorted(GOLDEN.glob("[0-9]*/*.json")):
        found = json.loads(path.read_text())
        yield Dump(
            path.parent.name,
            path.stem,
            found["schema_id"],
            found["schema"],
            tuple(bytes.fromhex(value) for value in found["values"]),
            tuple(found["records"]),
        )


def as_json(value: Any) -> Any:
    """A dumped record as JSON holds it: times in ISO 8601, bytes in hexadecimal."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def main() -> int:
    """Writes this version's folder; refuses where the version is released."""
    version = current_version()
    tagged = subprocess.run(
        ["git", "-C", ROOT, "tag", "--list", f"v{version}"], capture_output=True, text=True, check=True
    )
    if tagged.stdout.strip():
        sys.stderr.write(f"{version} is released: raise the version in pyproject.toml first\n")
        return 1
    folder = GOLDEN / version
    folder.mkdir(parents=True, exist_ok=True)
    written = {dump.path for dump in current()}
    for stale in set(folder.glob("*.json")) - written:
        stale.unlink()
    for dump in current():
        content = {
            "schema_id": dump.schema_id,
            "schema": dump.schema,
            "values": [value.hex() for value in dump.values],
            "records": dump.records,
        }
        dump.path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_agent()
    return 0


def write_agent() -> None:
    """Writes the hashes of the media buyer's contents; its version must be another than before."""
    agent = media_buyer()
    found = {
        "version": agent.spec.version,
        "prompt_id": agent.prompt_id,
        "toolset_id": agent.toolset_id,
        "spec_id": agent.spec.spec_id,
    }
    AGENT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
