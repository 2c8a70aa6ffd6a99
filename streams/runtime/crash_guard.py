"""State on disk about records that kill a worker or that it refuses."""

from dataclasses import dataclass

from streams.core.contract import Coordinates
from streams.runtime.crash_marker import CrashMarker, DeathCounter
from streams.runtime.dlq_limit import DlqLimit
from streams.runtime.quarantine import Quarantine
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class CrashGuard:
    """The guards of one worker."""

    mark: CrashMarker
    deaths: DeathCounter
    suspects: Quarantine
    breaker: DlqLimit
    deaths_allowed: int

    @classmethod
    def in_folders(cls, folders: WorkerFolders, worker: WorkerSettings) -> "CrashGuard":
        """The guards in the worker's folders, which are made."""
        folders.make()
        deaths = DeathCounter(folders.deaths)
        deaths.load()
        breaker = DlqLimit(
            folders.tripped,
            run=worker.dlq_limit_run,
            share=worker.dlq_limit_share,
            window=worker.dlq_limit_window,
        )
        return cls(
            CrashMarker(folders.mark), deaths, Quarantine(folders.in_work), breaker, worker.deaths_allowed
        )

    def why_dead(self, at: Coordinates) -> str:
        """Why the record at `at` goes to the dead letters; empty if it does not."""
        deaths = self.deaths.count(at)
        return f"the process died {deaths} times on it" if deaths >= self.deaths_allowed else ""

    def may_be_read(self, at: Coordinates) -> bool:
        """Whether a record for the dead letters may be read once more: not if that killed the process too."""
        return self.deaths.count(at) <= self.deaths_allowed

    def harmless(self, at: Coordinates) -> None:
        """The record at `at` is no suspect any more: work on it ended and the process lives."""
        if at in self.suspects:
            self.suspects.clear(at)
            self.mark.clear()
