"""Golden bytes: what each version wrote, kept so that every later one still reads it.

Each topic that something writes has a file with a line for each different dump, which names the versions that
wrote it, oldest first. `make generate` writes what the version in
pyproject.toml writes, from the examples; what earlier versions wrote is never written again. It also writes
the hashes of the media buyer's contents.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.media_buyer.definition import media_buyer
from schemas.catalog import plain_schema, topics
from schemas.codec import unframe
from schemas.errors import CatalogError
from schemas.examples import examples, framed_examples
from scripts.generated import stale_of, write_or_check

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
AGENT = GOLDEN / "media_buyer.json"


@dataclass(frozen=True)
class Dump:
    """What versions wrote to one topic."""

    topic: str
    versions: tuple[str, ...]
    schema_id: int
    schema: dict[str, Any]
    values: tuple[bytes, ...]
    records: tuple[Any, ...]
    """The same as JSON, as those versions read them."""

    @classmethod
    def of_line(cls, topic: str, line: str) -> "Dump":
        """The opposite of `line`."""
        found = json.loads(line)
        values = tuple(bytes.fromhex(value) for value in found.pop("values"))
        return cls(
            topic,
            tuple(found["versions"]),
            found["schema_id"],
            found["schema"],
            values,
            tuple(found["records"]),
        )

    def line(self) -> str:
        """As it is kept."""
        content = {
            "versions": self.versions,
            "schema_id": self.schema_id,
            "schema": self.schema,
            "values": [value.hex() for value in self.values],
            "records": self.records,
        }
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

    def is_as(self, other: "Dump") -> bool:
        """Whether the versions of both wrote the same."""
        return replace(self, versions=()) == replace(other, versions=())


def current_version() -> str:
    """The version in pyproject.toml."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def current() -> Iterator[Dump]:
    """What this version writes: its examples."""
    for spec in topics().values():
        if spec.record is not None and spec.produced:
            values = framed_examples(spec.name)
            records = tuple(as_json(record.model_dump()) for record in examples(spec.name))
            schema_id, _ = unframe(values[0])
            versions = (current_version(),)
            yield Dump(spec.name, versions, schema_id, plain_schema(spec.record), values, records)


def stored() -> Iterator[Dump]:
    """Every dump below `tests/golden`."""
    for path in sorted(GOLDEN.glob("*.jsonl")):
        yield from _stored(path)


def _stored(path: Path) -> list[Dump]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Dump.of_line(path.stem, line) for line in lines]


def as_json(value: Any) -> Any:
    """A dumped record as JSON holds it: times in ISO 8601, bytes in hexadecimal."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def main(arguments: list[str]) -> int:
    """Writes this version's dumps, or with `--check` only compares.

    Exit code 3 where one is stale, 2 where an example is wrong, 1 where it would have to be written although
    the version is released.
    """
    version = current_version()
    try:
        now = {dump.topic: dump for dump in current()}
    except CatalogError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    paths = {GOLDEN / f"{topic}.jsonl" for topic in now} | {*GOLDEN.glob("*.jsonl")}
    wanted = {path: wanted_text(path, version, now.get(path.stem)) for path in sorted(paths)}
    wanted[AGENT] = agent_text()
    if (stale := rewritten(wanted, version)) and is_released(version):
        # what a released version wrote is never written again
        names = ", ".join(path.name for path in stale)
        new = any(not path.exists() for path in stale)
        unproduced = (
            "write `produced: false` into the YAML of a topic that only others write, or " if new else ""
        )
        sys.stderr.write(
            f"{names}: this is not what {version} wrote, which is released: {unproduced}raise the version in "
            f"pyproject.toml and clients/python/pyproject.toml to {next_minor(version)}, then run "
            "`make generate`\n"
        )
        return 1
    return write_or_check(wanted, arguments)


def rewritten(wanted: Mapping[Path, str], version: str) -> list[Path]:
    """The stale files of `wanted` in which what `version` wrote is another."""

    def wrote(path: Path, text: str) -> list[Dump] | str:
        if path == AGENT:
            return text
        dumps = [Dump.of_line(path.stem, line) for line in text.splitlines()]
        return [replace(dump, versions=()) for dump in dumps if version in dump.versions]

    return [
        path
        for path in stale_of(wanted)
        if wrote(path, path.read_text() if path.exists() else "") != wrote(path, wanted[path])
    ]


def numbers(version: str) -> tuple[int, ...]:
    """A version as it is ordered."""
    return tuple(map(int, version.split(".")))


def next_minor(version: str) -> str:
    """The version for a new topic or a changed record."""
    major, minor, *_ = numbers(version)
    return f"{major}.{minor + 1}.0"


def is_released(version: str) -> bool:
    """Whether there is a tag for `version`."""
    tagged = subprocess.run(
        ["git", "-C", ROOT, "tag", "--list", f"v{version}"], capture_output=True, text=True, check=True
    )
    return bool(tagged.stdout.strip())


def wanted_text(path: Path, version: str, now: Dump | None) -> str:
    """The file with what `version` writes in the place of what it wrote before; None: it writes nothing
    there. Empty: no version writes anything there. Later versions are left out: somebody raised the
    version and lowered it again."""
    others = [
        replace(dump, versions=tuple(each for each in dump.versions if numbers(each) < numbers(version)))
        for dump in _stored(path)
    ]
    kept = [dump for dump in others if dump.versions]
    if now is not None and kept and kept[-1].is_as(now):
        kept[-1] = replace(kept[-1], versions=(*kept[-1].versions, version))
    elif now is not None:
        kept.append(now)
    return "".join(f"{dump.line()}\n" for dump in kept)


def agent_text() -> str:
    """The hashes of the media buyer's contents; its version must change with them."""
    agent = media_buyer()
    found = {
        "version": agent.spec.version,
        "prompt_id": agent.prompt_id,
        "toolset_id": agent.toolset_id,
        "spec_id": agent.spec.spec_id,
    }
    return json.dumps(found, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
