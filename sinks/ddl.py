"""The landing tables and their views as SQL, one column a line, as `sinks/migrations` has it."""

from collections.abc import Iterator

from schemas.stages import stages
from sinks.columns import Column
from sinks.tables import INSERTED_AT, Table

# whose identity is a Kafka coordinate: on a recreated broker the same coordinate is another record
_COORDINATE_IDENTITIES = ("opoi.dispositions", "opoi.dead-letters")
# which row of an identity the view prefers, before the lower offset
_PREFERENCES = {"opoi.dispositions": "outcome = 'pending'"}
# columns of the record that a view renames, since the word means another thing elsewhere
_RENAMED = {"opoi.dead-letters": {"replays": "redrives"}}
# the rows that the plain view of a versioned table shows
_LIVE = {"opoi.training-examples": "state = 'live'"}


def column(found: Column, kind: str | None = None) -> str:
    """A column's definition, on one line unless its type is given as `kind`."""
    parts = [f"`{found.name}`", kind or found.type]
    if found.default:
        parts.append(f"DEFAULT {found.default}")
    if found.codec:
        parts.append(f"CODEC({found.codec})")
    return " ".join([*parts, f"COMMENT {text(found.comment)}"])


def create_table(table: Table) -> str:
    """The statement that makes a landing table."""
    lines = [column(found, _spread(found, 1)) for found in (*table.landed, INSERTED_AT)]
    lines += [f"INDEX {name} {name} TYPE bloom_filter GRANULARITY 1" for name in table.indexed]
    return "\n".join(
        [
            f"CREATE TABLE IF NOT EXISTS {table.name}",
            "(",
            ",\n".join(f"    {line}" for line in lines),
            ")",
            "ENGINE = ReplacingMergeTree(_inserted_at)",
            "PARTITION BY toYYYYMM(_timestamp)",
            f"ORDER BY ({', '.join(_quoted(table.sort_key))})",
            *ttl(table),
            "SETTINGS ttl_only_drop_parts = 1",
            f"COMMENT {text(table.topic.description)};",
        ]
    )


def ttl(table: Table) -> list[str]:
    """The TTL clause; none where rows are kept for ever. By landing time: a wrong clock deletes nothing."""
    if table.kept_days is None:
        return []
    return [f"TTL toDateTime(_inserted_at) + toIntervalDay({table.kept_days})"]


def views(table: Table) -> Iterator[tuple[str, str]]:
    """Name and statement of each view over a table."""
    described = table.topic.description.rstrip(".")
    identity = ", ".join(table.identity)
    if not table.version:
        yield table.view, _view(table.view, table, (), "", f"{described}. One row per {identity}.")
        return
    renamed = _RENAMED.get(table.topic.name, {})
    version = ", ".join(renamed.get(name, name) for name in table.version)
    live = _LIVE.get(table.topic.name, "")
    yield (
        table.view,
        _view(
            table.view,
            table,
            tuple(f"`{name}` DESC" for name in table.version),
            live,
            f"{described}. One row per {identity}: the highest {version}{', where live' if live else ''}.",
        ),
    )
    name = f"{table.view}_versions"
    yield (
        name,
        _view(name, table, (), "", f"{described}. One row per {identity} and {version}.", table.version),
    )


def stage_inputs(by_topic: dict[str, Table]) -> str:
    """A view of what each stage was given: the records of the topics that it reads and accounts for."""
    accounted = [spec for spec in stages().values() if spec.accounted]
    pairs = [(spec.name, by_topic[name]) for spec in accounted for name in by_topic if name in spec.sources]
    landed = [
        f"    SELECT '{stage}' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, "
        "_offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at\n"
        f"    FROM {table.name}"
        for stage, table in pairs
    ]
    # a record that the sink could not read is an input of its stages too
    unread = [
        f"    SELECT '{spec.name}', topic, toUUIDOrZero(headers['dlq.topic_id']), partition, offset, _key, "
        "timestamp, _inserted_at\n"
        f"    FROM {by_topic['opoi.dead-letters'].name} "
        f"WHERE stage = 'sink' AND topic IN ({', '.join(text(n) for n in by_topic if n in spec.sources)})"
        for spec in accounted
    ]
    return "\n".join(
        [
            "CREATE OR REPLACE VIEW stage_inputs AS",
            "SELECT * FROM",
            "(",
            "\n    UNION ALL\n".join([*landed, *unread]),
            ")",
            "QUALIFY row_number() OVER "
            "(PARTITION BY stage, topic, topic_id, partition, offset ORDER BY inserted_at DESC) = 1",
            f"COMMENT {text('What each stage was given. One row per stage and Kafka coordinate.')};",
        ]
    )


def text(value: str) -> str:
    """A string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _view(
    name: str,
    table: Table,
    order: tuple[str, ...],
    where: str,
    comment: str,
    more_identity: tuple[str, ...] = (),
) -> str:
    identity = (*table.identity, *more_identity)
    if table.topic.name in _COORDINATE_IDENTITIES:
        identity = ("_topic_id", *identity)
    if table.topic.name in _PREFERENCES:
        order = (*order, _PREFERENCES[table.topic.name])
    # the lowest offset of an identity is the one that every stage counts
    order = (*order, "_offset", "_partition", "_topic_id", "_inserted_at DESC")
    window = f"PARTITION BY {', '.join(_quoted(identity))} ORDER BY {', '.join(order)}"
    renamed = _RENAMED.get(table.topic.name, {})
    columns = f"* EXCEPT ({', '.join(renamed)}), " if renamed else "*"
    columns += ", ".join(f"{old} AS {new}" for old, new in renamed.items())
    ranked = f"SELECT {columns} FROM {table.name}\nQUALIFY row_number() OVER ({window}) = 1"
    if where:
        ranked = f"SELECT * FROM\n(\n{ranked}\n)\nWHERE {where}"
    return f"CREATE OR REPLACE VIEW {name} AS\n{ranked}\nCOMMENT {text(comment)};"


def _spread(found: Column, depth: int) -> str:
    """The type, each element of a tuple on a line of its own."""
    if not found.elements:
        return found.type
    inner = ",\n".join(
        f"{'    ' * (depth + 1)}{element.name} {_spread(element, depth + 1)}" for element in found.elements
    )
    return f"Array(Tuple(\n{inner}\n{'    ' * depth}))"


def _quoted(names: tuple[str, ...]) -> Iterator[str]:
    return (name if "(" in name else f"`{name}`" for name in names)
