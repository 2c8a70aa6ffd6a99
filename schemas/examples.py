"""Realistic records of every topic, from `schemas/examples`: for docs, tests and experiments.

A file is a JSON list of {"about", "record"}. Times are ISO 8601. Bytes are written as one of
{"$text": "..."}, {"$framed": "TOPIC/INDEX"} (another example as it is on the wire), and a hash may be
{"$sha256": "TOPIC/INDEX"} (of that example's bytes), so that the examples fit together.
"""

import json
from functools import cache
from typing import Any

from pydantic import ValidationError

from schemas.catalog import EXAMPLES, topic
from schemas.codec import Codec, record_type
from schemas.errors import CatalogError, one_line
from schemas.identity import sha256
from schemas.memory import MemoryStore
from schemas.record import Record


@cache
def examples(topic_name: str) -> tuple[Record, ...]:
    """The example records of a topic. Raises CatalogError naming the file and what is wrong in it."""
    spec = topic(topic_name)
    if spec.record is None or spec.example is None:
        raise CatalogError(f"{topic_name} carries raw bytes: it has no example records")
    path = EXAMPLES / spec.example
    kind = record_type(spec.record)
    try:
        listed = json.loads(path.read_text())
        found = tuple(kind.model_validate(_made(entry["record"])) for entry in listed)
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise CatalogError(f"{path}: {'.'.join(map(str, first['loc']))}: {one_line(first['msg'])}") from error
    except KeyError as error:
        raise CatalogError(f"{path}: an entry has no {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise CatalogError(f"{path}: {one_line(str(error))}") from error
    if not found:
        raise CatalogError(f'{path}: it has no entry {{"about": "...", "record": {{...}}}}')
    return found


@cache
def framed_examples(topic_name: str) -> tuple[bytes, ...]:
    """The examples as they are on the wire, with the schema ids of `MemoryStore`."""
    return tuple(_codec().encode(topic_name, record) for record in examples(topic_name))


@cache
def _codec() -> Codec:
    return Codec(MemoryStore.whole())


def _made(part: Any) -> Any:
    """A part of the JSON with bytes and hashes put in for their placeholders."""
    if isinstance(part, list):
        return [_made(item) for item in part]
    if not isinstance(part, dict):
        return part
    match part:
        case {"$text": str(text)}:
            return text.encode()
        case {"$framed": str(reference)}:
            return _referred(reference)
        case {"$sha256": str(reference)}:
            return sha256(_referred(reference))
    return {key: _made(value) for key, value in part.items()}


def _referred(reference: str) -> bytes:
    topic_name, _, index = reference.rpartition("/")
    return framed_examples(topic_name)[int(index)]
