"""Derives files of `schemas/topics` from `stages.yaml`; `python -m schemas.generate` writes them.

The retry, tick and changelog topics of a stage are generated whole. In every other file only the producers
and consumers are replaced: first those that are not stages, unchanged, then the stages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from schemas.catalog import DAY, MIB, TopicSpec
from schemas.errors import CatalogError
from schemas.stages import RETRY, StageSpec, changelog_of, retry_of, ticks_of

_HEADER = "# Made from schemas/stages.yaml by `python -m schemas.generate`: do not edit.\n"
_PATTERNS = (f"{retry_of('*')}.yaml", f"{ticks_of('*')}.yaml", f"{changelog_of('*')}.yaml")
_TICKS_KEPT = DAY // 24


def topic_files(
    stages: Mapping[str, StageSpec], topics: Mapping[str, TopicSpec], folder: Path
) -> dict[Path, str]:
    """The text that each file of `folder` must have. Raises CatalogError where a list cannot be replaced."""
    texts = {folder / f"{name}.yaml": _HEADER + _dumped(made) for name, made in _made(stages, topics)}
    # a removed stage has left its retry topic
    gone = {path.stem.removeprefix(RETRY) for path in folder.glob(f"{RETRY}*.yaml")}
    for path in sorted(folder.glob("*.yaml")):
        if path not in texts and not _is_made(path):
            texts[path] = _kept(path, stages, gone)
    return texts


def left_over(wanted: Iterable[Path], folder: Path) -> list[Path]:
    """Files in `folder` of removed stages."""
    return sorted(path for path in folder.iterdir() if _is_made(path) and path not in set(wanted))


def _is_made(path: Path) -> bool:
    return any(path.match(pattern) for pattern in _PATTERNS)


def _made(
    stages: Mapping[str, StageSpec], topics: Mapping[str, TopicSpec]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The topics that every stage has: retry, and for a keyed one ticks and changelog."""
    for spec in stages.values():
        counts = [topics[source].partitions for source in spec.sources]
        # as many partitions as the largest source; the common count counts as the largest
        partitions = {} if None in counts else {"partitions": max(filter(None, counts), default=1)}
        if spec.sources:
            yield retry_of(spec.name), _retry(spec, partitions)
        if spec.keyed:
            yield ticks_of(spec.name), _ticks(spec, stages, partitions)
            yield changelog_of(spec.name), _changelog(spec, partitions)


def _retry(spec: StageSpec, partitions: dict[str, int]) -> dict[str, Any]:
    return {
        "description": f"Dead letters sent to {spec.name} again, with their original bytes; original "
        "coordinates in the headers.",
        "owner": "pipeline",
        "key": "the original key",
        "record": None,
        "compatibility": "BACKWARD_TRANSITIVE",
        **partitions,
        "retention_ms": 30 * DAY,
        "max_message_bytes": 5 * MIB,
        "sink": False,
        "producers": ["redrive"],
        "consumers": [spec.name],
        "example": None,
    }


def _ticks(spec: StageSpec, stages: Mapping[str, StageSpec], partitions: dict[str, int]) -> dict[str, Any]:
    name = ticks_of(spec.name)
    return {
        "description": f"The clock of the table of {spec.name}: one record per partition every few seconds.",
        "owner": "pipeline",
        "key": "none",
        "record": "Tick",
        "identity": ["stage", "partition", "at"],
        "compatibility": "BACKWARD_TRANSITIVE",
        **partitions,
        "retention_ms": _TICKS_KEPT,
        "sink": False,
        "producers": [each.name for each in stages.values() if name in each.writes],
        "consumers": [spec.name],
        "example": f"{name}.json",
    }


def _changelog(spec: StageSpec, partitions: dict[str, int]) -> dict[str, Any]:
    assert spec.keyed is not None
    return {
        "description": f"Changelog of the table of {spec.name}; only {spec.name} writes or reads it.",
        "owner": "pipeline",
        "key": spec.keyed.key,
        "record": spec.keyed.state,
        "identity": ["key"],
        "compatibility": "BACKWARD_TRANSITIVE",
        "cleanup": "compact",
        **partitions,
        "sink": False,
        "producers": [spec.name],
        "consumers": [spec.name],
        "example": f"{changelog_of(spec.name)}.json",
    }


def _kept(path: Path, stages: Mapping[str, StageSpec], gone: set[str]) -> str:
    """The text of a file with its producers and consumers replaced."""
    text = path.read_text()
    stated = yaml.safe_load(text)
    writers = [name for name, spec in stages.items() if path.stem in spec.writes]
    readers = [name for name, spec in stages.items() if path.stem in spec.reads]
    for field, ours in (("producers", writers), ("consumers", readers)):
        wanted = [name for name in stated[field] if name not in {*stages, *gone}] + ours
        if wanted != stated[field]:
            text = _replaced(path, text, field, wanted)
    return text


def _replaced(path: Path, text: str, field: str, wanted: list[str]) -> str:
    block = re.compile(rf"^{field}:(?: \[.*\])?\n(?: *- .*\n)*", re.MULTILINE)
    text, found = block.subn(lambda _: _dumped({field: wanted}), text)
    if found != 1:
        raise CatalogError(f"{path}: {field} cannot be replaced: write them one a line, as `- name`")
    return text


def _dumped(content: dict[str, Any]) -> str:
    # as wide as the files that are written by hand
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
