"""Tables that are declared before the app starts are restored at once, and within bounds."""

from typing import Any

from faust.tables import TableManager

from streams.core.unread import Unread
from streams.faust_runner.safety.memory_bound import MIB, let_go
from streams.runtime.exit_codes import ExitCode, fail_stop

FLUSH_BYTES = 4 * MIB
"""Restored states that wait in memory; Faust itself flushes after a thousand of any size."""


class PromptTableManager(TableManager):
    """Faust's own, without the second that it waits for tables which are declared late."""

    async def on_start(self) -> None:
        """Reads the changelogs as soon as the consumer runs; `faust_runner.app` declares the tables."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class RestoreWithinBounds:
    """Called for each restored state: flushes before the waiting states take much memory."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._bytes = 0

    async def __call__(self, event: Any) -> None:
        """Called after `event` was added to the waiting states."""
        message, recovery = event.message, self._app.tables.recovery
        if isinstance(message.value, Unread):
            fail_stop(
                ExitCode.REFUSED,
                f"{message.topic}-{message.partition}: the states at the offsets {message.offset} to "
                f"{message.value.last_offset} cannot be restored: {message.value.reason}; older ones would "
                "take their place. Restore the topic from another replica or a backup",
            )
        self._bytes += len(message.key or b"") + len(message.value or b"")
        if self._bytes >= FLUSH_BYTES or not recovery.need_recovery():
            self._bytes = 0
            recovery.flush_buffers()
            # the restore keeps the last one until the next restore
            let_go(event)
