"""Encoding and decoding of records, beside fastavro alone and Apache avro: `python -m bench.codec`.

All in one process, one after the other, on the example records. "opoi" goes from a typed record to framed
bytes and back, checked on the way; the other two go between a dict and the Avro body, unchecked.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import avro.io
import avro.schema
import fastavro

from schemas.catalog import plain_schema, schema, topics
from schemas.codec import Codec, unframe
from schemas.examples import examples, framed_examples
from schemas.memory import MemoryStore
from streams.cli.output import table

TOPICS = ("opoi.dispositions", "expert.verdicts", "agent.decisions", "opoi.traces", "opoi.reviews")


Work = Callable[[], object]


def per_second(works: dict[str, Work], seconds: float, repeats: int = 5) -> dict[str, float]:
    """How often each work runs in a second of processor time: the median of rounds in turn."""
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            done, begun = 0, time.process_time()
            while (took := time.process_time() - begun) < seconds / repeats:
                for _ in range(10):
                    work()
                done += 10
            rounds[name].append(done / took)
    return {name: statistics.median(found) for name, found in rounds.items()}


def later_writer(topic: str, record: Any) -> tuple[Codec, bytes]:
    """A codec and a value whose schema has one more field than ours, so that it must be resolved."""
    wide = plain_schema(name_of(topic))
    wide["fields"].append({"name": "of_tomorrow", "type": "string"})
    store = MemoryStore()
    schema_id = store.register(f"{topic}-value", wide)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(wide), {**record.to_avro(), "of_tomorrow": ""})
    return Codec(store), b"\x00" + schema_id.to_bytes(4, "big") + body.getvalue()


def encoders(topic: str) -> dict[str, Work]:
    """Name to one encoding of the topic's first example."""
    codec = Codec(MemoryStore.whole())
    record, plain, parsed, apache = examples(topic)[0], as_dict(topic), schema_of(topic), apache_schema(topic)
    writer = avro.io.DatumWriter(apache)
    return {
        "opoi": lambda: codec.encode(topic, record),
        "fastavro": lambda: fastavro.schemaless_writer(io.BytesIO(), parsed, plain),
        "avro": lambda: writer.write(plain, avro.io.BinaryEncoder(io.BytesIO())),
    }


def decoders(topic: str) -> dict[str, Work]:
    """Name to one decoding of the topic's first example."""
    codec, value, parsed = Codec(MemoryStore.whole()), framed_examples(topic)[0], schema_of(topic)
    later, wide = later_writer(topic, examples(topic)[0])
    reader = avro.io.DatumReader(apache_schema(topic))
    _, body = unframe(value)
    return {
        "opoi": lambda: codec.decode(topic, value),
        "opoi, another writer's schema": lambda: later.decode(topic, wide),
        "fastavro": lambda: fastavro.schemaless_reader(io.BytesIO(body), parsed, None),
        "avro": lambda: reader.read(avro.io.BinaryDecoder(io.BytesIO(body))),
    }


def name_of(topic: str) -> str:
    """Name of the topic's record."""
    name = topics()[topic].record
    assert name is not None
    return name


def schema_of(topic: str) -> dict[str, Any]:
    """The topic's schema as fastavro parses it."""
    return schema(name_of(topic))


def apache_schema(topic: str) -> Any:
    """The topic's schema as Apache avro parses it."""
    return avro.schema.parse(json.dumps(plain_schema(name_of(topic))))


def as_dict(topic: str) -> Any:
    """The topic's first example as both libraries read it."""
    _, body = unframe(framed_examples(topic)[0])
    return fastavro.schemaless_reader(io.BytesIO(body), schema_of(topic), None)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Records encoded and decoded in a second.")
    parser.add_argument("--seconds", type=float, default=1.0, help="Processor time for each figure.")
    seconds = parser.parse_args().seconds
    rows = []
    for topic in TOPICS:
        size = len(framed_examples(topic)[0])
        for what, works in (("encode", encoders(topic)), ("decode", decoders(topic))):
            found = per_second(works, seconds)
            for name, rate in found.items():
                rows.append((topic, size, what, name, round(rate), f"{rate / found['avro']:.1f}x"))
    print(table(("TOPIC", "BYTES", "", "CODEC", "RECORDS/S", "BESIDE AVRO"), rows))


if __name__ == "__main__":
    main()
