"""Settings of the workers that run steps on Faust."""

from typing import Annotated

from pydantic import Field

from schemas.settings import SettingsModel, Share


class WorkerSettings(SettingsModel):
    """How a worker of a stage behaves."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = "1"
    """Name of this worker, unique within its stage: its state folder, and its place in the group over a
    restart. On Kubernetes the pod's name."""
    deaths_allowed: Annotated[int, Field(ge=1)] = 3
    """A record on which the process died so many times by its own fault goes to the dead letters."""
    breaker_run: Annotated[int, Field(ge=1)] = 50
    """So many refused records in a row stop the worker."""
    breaker_share: Share = 0.5
    """A larger share of refused records among the last `breaker_window` stops the worker; 1 never does."""
    breaker_window: Annotated[int, Field(ge=10)] = 200
    """Records over which the share is taken."""
    breaker_pause_seconds: Annotated[float, Field(ge=0)] = 30.0
    """A worker that was stopped so waits before it tries again."""
    watchdog_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Without a commit for so long although records wait, the worker is ended."""
    stop_seconds: Annotated[float, Field(gt=0)] = 20.0
    """A worker that was asked to stop is killed after so long; nothing is lost by it."""
    deadlines_per_tick: Annotated[int, Field(ge=1)] = 1000
    """Deadlines that fire at one tick at most; the others fire at the next ones."""
