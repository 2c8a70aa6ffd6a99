"""Leaving the group, which can hang without a limit in librdkafka: the worker then ends at once."""

import threading
from collections.abc import Callable

from confluent_kafka import Consumer

from streams.runtime.exit_codes import ExitCode, fail_stop

LEAVE_SECONDS = 15.0
"""Within what a supervisor gives a worker that it asked to stop."""


def close_consumer(
    consumer: Consumer, seconds: float = LEAVE_SECONDS, end: Callable[[ExitCode, str], None] = fail_stop
) -> None:
    """Closes the consumer; where that takes longer than `seconds`, `end` is called meanwhile."""
    said = (
        f"the Kafka client has not left the group within {seconds:g} s; ending without, "
        "what was not committed is done again"
    )
    hung = threading.Timer(seconds, end, (ExitCode.WATCHDOG, said))
    hung.daemon = True
    hung.start()
    consumer.close()
    hung.cancel()
