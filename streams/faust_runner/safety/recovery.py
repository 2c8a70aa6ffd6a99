"""Table recovery: seek first, clear the queues second, fetch third.

Faust 0.15.3 lets the source partitions run before it seeks them to the committed offsets and then clears
the streams' queues: what was fetched in between is neither processed nor fetched again
(https://github.com/faust-streaming/faust/issues/596). The method for apps without tables has the same order.
"""

import asyncio
from typing import Any

from aiokafka import TopicPartition
from faust.tables.recovery import Recovery
from faust.types import TP

from streams.faust_runner.safety.patches import patch


async def on_recovery_completed(self: Recovery, generation_id: int = 0) -> None:
    """The tables are up to date: let the sources run, from their committed offsets."""
    self.log.info("Restore complete!")
    await self.app.on_rebalance_complete.send()
    self._set_recovery_ended()
    callbacks = [
        asyncio.ensure_future(
            table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        )
        for table in self.tables.values()
    ]
    if callbacks:
        await asyncio.wait(callbacks)
    if await _let_the_sources_run(self, generation_id):
        self.tables.on_actives_ready()
        if not self.app.assignor.assigned_standbys():
            self.tables.on_standbys_ready()
        self.app.on_rebalance_end()
        self.log.info("Worker ready")


async def resume_streams(self: Recovery, generation_id: int = 0) -> None:
    """There are no tables: let the sources run, from their committed offsets."""
    await self.app.on_rebalance_complete.send()
    if await _let_the_sources_run(self, generation_id):
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        self.app.on_rebalance_end()
        self.log.info("Worker ready")


async def _let_the_sources_run(self: Recovery, generation_id: int) -> bool:
    app: Any = self.app
    consumer = app.consumer
    assignment = consumer.assignment()
    if app.consumer_generation_id != generation_id:
        self.log.warning("Another rebalance began during recovery")
        return False
    sources: set[TP] = {tp for tp in assignment if not self._is_changelog_tp(tp)}
    if assignment:
        await self._wait(_seek(consumer, sources), timeout=app.conf.broker_request_timeout)
    self.completed.set()
    # clears the queues; from here on no fetched record may be dropped
    app.flow_control.resume()
    consumer.resume_partitions(sources)
    consumer.resume_flow()
    await app._fetcher.maybe_start()
    return True


async def _seek(consumer: Any, sources: set[TP]) -> None:
    await consumer.perform_seek()
    # aiokafka leaves a partition where it is that has no committed offset yet
    if fresh := [TopicPartition(*tp) for tp in sources if not consumer._committed_offset[tp]]:
        await consumer._thread.seek_to_beginning(*fresh)


PATCHES = (
    patch(
        "recovery",
        Recovery,
        "on_recovery_completed",
        "6ef567acf072e46da3fccbccc6d662371f634f622c3d510972d5df81f70ae3ac",
        on_recovery_completed,
    ),
    patch(
        "recovery",
        Recovery,
        "_resume_streams",
        "d986a6710c1aca98f08c4c723fb3eadc5bf24576ad4eb9da3dd3eecedda2f24e",
        resume_streams,
    ),
)
