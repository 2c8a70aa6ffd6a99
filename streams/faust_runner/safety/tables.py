"""Tables that are declared before the app starts are restored at once."""

from faust.tables import TableManager


class PromptTableManager(TableManager):
    """Faust's own, without the second that it waits for tables which are declared late."""

    async def on_start(self) -> None:
        """Reads the changelogs as soon as the consumer runs; the tables are those of `processors.app`."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
