"""A stopped stack's folder as one file, and back.

Left out is what the next start makes anew: logs, the supervisor's files, what a start writes into its own
configuration, locks, and the indexes of Kafka's logs. However old an archive is, its records become of now:
else the broker would delete what is past its retention.
"""

import lzma
import struct
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

from aiokafka.record.util import calc_crc32c

from testkit.upgrade.stack import Stack

LEFT_OUT = (
    *("logs", "run", "model", "kafka/server.properties", "clickhouse/config.xml"),
    *("kafka/data/*/*.index", "kafka/data/*/*.timeindex", "kafka/data/*/*.snapshot", "kafka/data/.lock"),
    *("state/*/*/v*/tables/*/LOG*", "state/*/*/v*/tables/*/LOCK", "state/*/*/lock"),
)


def settle(stack: Stack) -> list[Path]:
    """Before the stack goes down: lets its tables keep rows for ever and be small.

    Returns the parts of tables that are merged into others.
    """
    filled = "FROM system.tables WHERE database = 'opoi' AND total_rows > 0"
    for table, forgets in stack.rows(f"SELECT name, create_table_query LIKE '% TTL %' {filled}"):
        if forgets:
            stack.tables.command(f"ALTER TABLE {table} REMOVE TTL")
        stack.tables.command(f"OPTIMIZE TABLE {table} FINAL")
    merged = "SELECT path FROM system.parts WHERE database = 'opoi' AND NOT active"
    return [Path(path).resolve() for (path,) in stack.rows(merged)]


def pack(home: Path, archive: Path, merged: Iterable[Path]) -> None:
    """Writes the folder of a stack that is down, without the parts of tables that are `merged`."""
    left_out = {path for pattern in LEFT_OUT for path in home.glob(pattern)}.union(merged)
    # typeshed knows no preset but 0 to 9
    with tarfile.open(archive, "w:xz", preset=9 | lzma.PRESET_EXTREME) as file:  # type: ignore[call-overload]
        for path in sorted(home.rglob("*")):
            if left_out.isdisjoint((path, *path.parents)):
                file.add(path, str(path.relative_to(home)), recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def unpack(archive: Path, home: Path, packed_at: float) -> None:
    """The folder as it was packed then, in seconds since 1970, at another place and as of now."""
    home.mkdir(parents=True)
    with tarfile.open(archive) as file:
        # Python before 3.11.4, which Debian 12 still has, knows none
        file.extraction_filter = getattr(tarfile, "data_filter", None)
        file.extractall(home)
    by = round((time.time() - packed_at) * 1000)
    for log in home.glob("kafka/data/[!_]*/*.log"):
        content = bytearray(log.read_bytes())
        _move(content, by)
        log.write_bytes(content)


# of a record batch: where its length stands, what follows it, its checksum, what that covers, its times
_LENGTH, _AFTER_LENGTH, _CHECKSUM, _CHECKED, _TIMES = 8, 12, 17, 21, (27, 35)


def _move(log: bytearray, by: int) -> None:
    """Moves the times of all batches of a segment by milliseconds."""
    begin = 0
    while begin < len(log):
        [length] = struct.unpack_from(">i", log, begin + _LENGTH)
        end = begin + _AFTER_LENGTH + length
        for at in (begin + each for each in _TIMES):
            [time_then] = struct.unpack_from(">q", log, at)
            struct.pack_into(">q", log, at, time_then + by)
        struct.pack_into(">I", log, begin + _CHECKSUM, calc_crc32c(bytes(log[begin + _CHECKED : end])))
        begin = end
