"""Faults on request, for tests of clients, at a path that only the local model has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_stack.model.errors import STATUSES, ApiError, exhausted, invalid


@dataclass(slots=True)
class Faults:
    """The faults that the next requests meet; none at the start."""

    status: int | None = None
    remaining: int = 0
    """Requests that still get `status`."""
    retry_seconds: float = 1.0
    latency_seconds: float = 0.0
    no_log_probabilities: bool = False

    def configure(self, body: Mapping[str, Any]) -> None:
        """Set the faults of the body and clear all others. Raises ApiError."""
        known = {"status", "count", "retrySeconds", "latencySeconds", "noLogProbabilities"}
        strange = sorted(set(body) - known)
        if strange:
            raise invalid(f"Fault {strange[0]!r} is none of {', '.join(sorted(known))}.")
        status = body.get("status")
        if status is not None and status not in STATUSES:
            raise invalid(f"status {status!r} is none of {', '.join(map(str, STATUSES))}.")
        self.status = status
        self.remaining = int(body.get("count", 1)) if status is not None else 0
        self.retry_seconds = float(body.get("retrySeconds", 1.0))
        self.latency_seconds = float(body.get("latencySeconds", 0.0))
        self.no_log_probabilities = bool(body.get("noLogProbabilities", False))

    def check(self) -> None:
        """Raise the fault of this request, if any."""
        if self.status is None or self.remaining <= 0:
            return
        self.remaining -= 1
        if self.status == 429:
            raise exhausted(self.retry_seconds)
        raise ApiError(self.status, f"A fault with status {self.status} that was asked for.")

    def check_log_probabilities(self, model: str, wanted: bool) -> None:
        """Refuse log-probabilities, as Gemini's models without them do."""
        if wanted and self.no_log_probabilities:
            raise invalid(f"Logprobs is not enabled for models/{model}")

    def state(self) -> dict[str, Any]:
        """The present faults."""
        return {
            "status": self.status,
            "count": self.remaining,
            "retrySeconds": self.retry_seconds,
            "latencySeconds": self.latency_seconds,
            "noLogProbabilities": self.no_log_probabilities,
        }
