"""What runs depend on, each with its own circuit breaker: an unreachable one delays only runs that need it.

What a run needs is known after one like it failed; the first of a kind is simply tried.
"""

from collections.abc import Mapping

from agent.arms import BARE
from agent.ports import MODEL, ModelError, Target
from schemas.records import ReplayRequest
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.circuit_breaker import FIRST_WAIT, CircuitBreaker, Permit

ARTIFACTS = Target("artifacts")
"""Prompts, tools and AgentSpecs: every run needs them, and they come through broker and schema registry."""
MOST_KINDS = 4096

Permits = Mapping[Target, Permit]
_Kind = tuple[str, bool, str, str | None]


class Targets:
    """The circuit breakers by target, and which run needs which. Not thread-safe."""

    def __init__(self, *, first_wait: float = FIRST_WAIT) -> None:
        self._first_wait = first_wait
        self._breakers: dict[Target, CircuitBreaker] = {}
        self._needed: dict[_Kind, Target] = {}

    def is_ready(self, request: ReplayRequest) -> bool:
        """Whether `acquire` would give permits now."""
        return all(self._breaker(target).is_ready for target in self._needs(request))

    def acquire(self, request: ReplayRequest) -> Permits | None:
        """Permits to try the request's run once; None: something that it needs is unreachable."""
        held: dict[Target, Permit] = {}
        for target in self._needs(request):
            permit = self._breaker(target).acquire()
            if permit is None:
                self.release(held)
                return None
            held[target] = permit
        return held

    def success(self, held: Permits) -> None:
        """The run got what it needed."""
        for target, permit in held.items():
            self._breaker(target).success(permit)

    def failure(self, request: ReplayRequest, held: Permits, error: Exception) -> None:
        """The run found something unreachable."""
        away = error.target if isinstance(error, ModelError) else ARTIFACTS
        for target, permit in held.items():
            if target == ARTIFACTS != away:
                # they are read first, so they were reachable
                self._breaker(target).success(permit)
            elif target != away:
                self._breaker(target).release(permit)
        retry_after = error.retry_after if isinstance(error, ModelError) else None
        permit = held.get(away, Permit(probe=False))
        self._breaker(away).failure(permit, _in_words(error), retry_after)
        if away != ARTIFACTS:
            if len(self._needed) >= MOST_KINDS:
                self._needed.clear()
            self._needed[_kind(request)] = away

    def release(self, held: Permits) -> None:
        """The try did not show whether what it needed is reachable."""
        for target, permit in held.items():
            self._breaker(target).release(permit)

    def why_away(self, request: ReplayRequest) -> str:
        """What the request waits for, in words; empty: nothing."""
        away = [target for target in self._needs(request) if self._breaker(target).is_open]
        return "; ".join(f"{target.name} is away: {self._breaker(target).why}" for target in away)

    def _needs(self, request: ReplayRequest) -> tuple[Target, ...]:
        if request.arm in BARE:
            return ARTIFACTS, MODEL
        known = self._needed.get(_kind(request))
        return (ARTIFACTS,) if known is None else (ARTIFACTS, known)

    def _breaker(self, target: Target) -> CircuitBreaker:
        if target not in self._breakers:
            self._breakers[target] = CircuitBreaker(
                target.name,
                target.url,
                first_wait=self._first_wait,
                on_change=lambda _: self._show(target.name),
            )
        return self._breakers[target]

    def _show(self, name: str) -> None:
        away = any(one.is_open for target, one in self._breakers.items() if target.name == name)
        metrics.AWAY.labels(name).set(away)


def _kind(request: ReplayRequest) -> _Kind:
    """Runs of one kind need the same."""
    return request.agent, request.arm in BARE, request.target.spec_id, request.target.endpoint


def _in_words(error: Exception) -> str:
    tries = f" ({error.attempts} tries)" if isinstance(error, ModelError) and error.attempts > 1 else ""
    return f"{type(error).__name__}: {error}{tries}"
