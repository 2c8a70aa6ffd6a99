"""Commits the offsets of the tracker, and only those.

Faust commits up to what its streams acknowledged, but they also acknowledge records that they skip, that
raised, or that were in a jump taken for a hole. The tracker counts what the runner finished, in
order, so its next offset is the lowest one that is not finished.
"""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from faust.transport.consumer import Consumer
from faust.types import TP, AppT

from streams.faust_runner.safety.offset_tracker import OffsetTracker
from streams.faust_runner.safety.patches import patch

_TRACKERS: WeakKeyDictionary[AppT, OffsetTracker] = WeakKeyDictionary()


def track_offsets(app: AppT) -> OffsetTracker:
    """The tracker whose offsets `app` commits."""
    return _TRACKERS.setdefault(app, OffsetTracker())


def filter_committable_offsets(self: Consumer, tps: Iterable[TP]) -> dict[TP, int]:
    """The offsets to commit now. `tps`, what Faust counts as acknowledged, is ignored."""
    for tp in tps:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap.pop(tp, None)
    finished = ((TP(*source), offset) for source, offset in track_offsets(self.app).committable())
    return {tp: offset for tp, offset in finished if self._should_commit(tp, offset)}


PATCHES = (
    patch(
        "commits",
        Consumer,
        "_filter_committable_offsets",
        "dc5e9baf5d994485473ce80aed1873b9318f02d735fde21e285de3d0c52a5e0e",
        filter_committable_offsets,
    ),
)
