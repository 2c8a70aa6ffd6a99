"""A sink that dies by its own fault again and again finds the record that kills it, and loses nothing."""

import faulthandler
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sinks.dead_letters import parse_dead_letter
from sinks.tables import tables
from streams.runtime.supervisor import WorkerFolders, supervise
from streams.stages.sink.batch import Batch, Entry
from streams.stages.sink.loop import Sink
from streams.stages.sink.row_mapper import RowMapper
from tests.unit.stages.sink.sink_fakes import (
    CODEC,
    TOPIC_ID,
    FakeFeed,
    FakeLetters,
    FakeStore,
    guards,
    verdict,
)

VERDICTS = tables()["expert.verdicts"]
RECORDS = 1000
DEADLY = 437
STARTS = 12


def segfault() -> None:
    """The end of a process by a signal of its own."""
    faulthandler.disable()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def unlisted() -> None:
    """The end of a process by a code that says nothing."""
    os._exit(3)


def bug() -> None:
    """An exception that nobody expects."""
    raise RuntimeError("a bug of ours")


class Ledger(FakeFeed):
    """Reads on from what was committed before the last death; commits survive."""

    def __init__(self, file: Path) -> None:
        self.file = file
        begin = int(file.read_text()) if file.exists() else 0
        records = [verdict(offset) for offset in range(begin, RECORDS)]
        super().__init__([records], [])

    def commit(self) -> bool:
        super().commit()
        if self.committed:
            self.file.write_text(str(max(self.committed.values())))
        return True


@pytest.mark.parametrize("end", [segfault, unlisted, bug])
@pytest.mark.parametrize("where", ["mapping", "inserting"])
def test_the_deadly_record_is_found_and_the_others_are_landed(
    tmp_path: Path, where: str, end: Callable[[], None]
) -> None:
    revision = [column.name for column in VERDICTS.landed].index("revision")
    plain = RowMapper(CODEC, lambda topic: TOPIC_ID).entry

    def work() -> None:
        store, letters = FakeStore([]), FakeLetters([])
        kept = store.insert

        def insert(table: Any, rows: Any) -> None:
            if where == "inserting" and any(row[revision] == DEADLY for row in rows):
                end()
            kept(table, rows)
            with (tmp_path / "landed").open("a") as file:
                file.writelines(f"{row[revision]}\n" for row in rows)

        def entry_of(delivery: Any) -> Entry:
            if where == "mapping" and delivery.arrived.coordinates.offset == DEADLY:
                end()
            return plain(delivery)

        store.insert = insert  # type: ignore[method-assign]
        feed = Ledger(tmp_path / "committed")
        code = 70
        try:
            feed.sink = Sink(
                consumer=lambda sink: feed,
                entry_of=entry_of,
                store=store,
                letters=letters,
                guards=guards(tmp_path),
                batch=Batch(600, 10**9, 3600.0),
            )
            feed.sink.run()
            for _, _, headers in letters.sent:
                letter = parse_dead_letter(headers)
                said = {"offset": letter.offset, "kind": letter.error_type, "error": letter.error}
                (tmp_path / "letter").write_text(json.dumps(said))
            code = 0
        finally:
            os._exit(code)

    folders = WorkerFolders(tmp_path, "sink", "1")
    starts = 1
    while supervise(folders, work, 5) != 0:
        starts += 1
        assert starts <= STARTS, "it dies for ever"
    letter = json.loads((tmp_path / "letter").read_text())
    assert (letter["offset"], letter["kind"]) == (DEADLY, "killed_the_process")
    assert "died 3 times on it" in letter["error"]
    landed = {int(line) for line in (tmp_path / "landed").read_text().split()}
    assert landed == {*range(RECORDS)} - {DEADLY}
    assert (tmp_path / "committed").read_text() == str(RECORDS)
