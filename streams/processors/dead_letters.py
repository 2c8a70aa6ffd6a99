"""What a stage cannot process, kept with its bytes: the record of `opoi.dead-letters`."""

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from streams.processors.intake import Arrival, to_milliseconds
from streams.steps.contract import Poison

TOPIC = "opoi.dead-letters"
PREFIX = "dlq."
ERROR_BYTES = 512
_KEPT = ("dlq.topic", "dlq.partition", "dlq.offset", "dlq.timestamp", "dlq.first_failed_at", "dlq.replays")
"""Headers that a record which was sent again keeps: where it stood at first, and how often it was sent."""


def app_version() -> str:
    """The version of opoi that runs."""
    try:
        return version("opoi")
    except PackageNotFoundError:
        return "unknown"


def headers_of(arrived: Arrival, stage: str, poison: Poison, failed_at: datetime) -> list[tuple[str, bytes]]:
    """The headers of a dead letter: where the record stood, why it was refused, and its own headers.

    Key and value stay as they came. `failed_at` is UTC.
    """
    at = arrived.coordinates
    own = {
        "dlq.topic": at.topic,
        "dlq.partition": str(at.partition),
        "dlq.offset": str(at.offset),
        "dlq.timestamp": str(to_milliseconds(arrived.timestamp)),
        "dlq.stage": stage,
        "dlq.app_version": app_version(),
        "dlq.error_type": poison.kind,
        "dlq.error": poison.reason,
        "dlq.first_failed_at": failed_at.isoformat(timespec="milliseconds"),
        "dlq.replays": "0",
    }
    headers = {name: text.encode()[:ERROR_BYTES] for name, text in own.items()}
    headers |= {name: arrived.headers[name] for name in _KEPT if name in arrived.headers}
    others = {name: value for name, value in arrived.headers.items() if not name.startswith(PREFIX)}
    return [*headers.items(), *others.items()]
