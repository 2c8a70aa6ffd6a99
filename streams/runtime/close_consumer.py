"""Closes a consumer. librdkafka can hang in leaving the group; then the worker ends at once."""

import threading
from collections.abc import Callable

from confluent_kafka import Consumer

from streams.runtime.exit_codes import ExitCode, fail_stop

LEAVE_SECONDS = 15.0
"""Shorter than the time that a supervisor gives a worker to stop."""


def close_consumer(
    consumer: Consumer, seconds: float = LEAVE_SECONDS, end: Callable[[ExitCode, str], None] = fail_stop
) -> None:
    """Closes the consumer; calls `end` if that takes longer than `seconds`."""
    reason = (
        f"the Kafka client has not left the group within {seconds:g} s; ending without, "
        "what was not committed is done again"
    )
    hung = threading.Timer(seconds, end, (ExitCode.WATCHDOG, reason))
    hung.daemon = True
    hung.start()
    consumer.close()
    hung.cancel()
