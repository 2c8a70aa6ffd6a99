"""Supervised tuning rows: JSONL files in Gemini's format, read from a local path."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from local_stack.model.answers import conversation_of
from local_stack.model.corpus import Corpus, Trace, join
from local_stack.model.errors import ApiError
from local_stack.model.vocabulary import END, FIRST, UNKNOWN
from local_stack.model.wire import read_prompt


class BadRow(ValueError):
    """A row or file that cannot be used for tuning; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The content of a file."""

    corpus: Corpus
    rows: int
    dropped: list[str]
    """The reason for each row that was left out."""


def local_path(uri: str) -> Path:
    """The file that a path or a file:// URI names. Raises BadRow."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise BadRow(f"{uri}: the local model reads a local path or a file:// URI, not {parts.scheme}://")
    path = Path(unquote(parts.path) if parts.scheme else uri)
    try:
        there = path.is_file()
    except OSError as error:
        raise BadRow(f"{uri[:80]}: {error.strerror}") from error
    if not there:
        raise BadRow(f"{uri}: there is no such file")
    return path


def read_dataset(uri: str) -> Dataset:
    """All rows of a file. Raises BadRow."""
    traces: list[Trace] = []
    dropped: list[str] = []
    rows = 0
    for number, row in _rows(local_path(uri)):
        rows += 1
        try:
            conversation = conversation_of(read_prompt(row))
        except ApiError as error:
            raise BadRow(f"{uri}, line {number}: {error.message}") from error
        known = [token for turn in conversation.turns for token in turn.tokens if token not in _SAYS_NOTHING]
        if known:
            traces.append(conversation.trace)
        else:
            dropped.append(f"line {number}: no model turn with a word that this model knows")
    if not traces:
        raise BadRow(f"{uri}: none of its {rows} rows has a model turn that this model can learn from")
    return Dataset(join(traces), rows, dropped)


_SAYS_NOTHING = {FIRST[END], FIRST[UNKNOWN]}


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BadRow(f"{path}, line {number}: {error}") from error
            if not isinstance(row, dict):
                raise BadRow(f"{path}, line {number}: a row must be an object, not {type(row).__name__}")
            yield number, row
