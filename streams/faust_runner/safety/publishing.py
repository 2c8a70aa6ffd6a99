"""A refused record ends the process, so that no output or table change is lost.

Faust logs a failed produce and commits past it; of table changes it returns no future to check. And its
flush, on which the commit waits, gives up after 0.1 s and does not count the message in hand.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn

from faust.topics import Topic
from faust.transport.producer import ProducerBuffer
from faust.types import FutureMessage

from streams.faust_runner.safety.patches import patch
from streams.runtime.exit_codes import ExitCode, fail_stop

_on_published = Topic._on_published
_publish_message = Topic.publish_message
_put = ProducerBuffer.put
_send_pending = ProducerBuffer._send_pending

FLUSH_POLL = 0.001
"""Seconds between two checks for unsent messages."""


def stop_on_failure(topic: str, future: "asyncio.Future[Any]") -> None:
    """Ends the process if the broker did not take a record."""
    error: BaseException | None = asyncio.CancelledError() if future.cancelled() else future.exception()
    if error is not None:
        produce_failed(topic, error)


def produce_failed(topic: str, error: BaseException) -> NoReturn:
    """Ends the process; what was finished since the last commit is done again."""
    fail_stop(
        ExitCode.PRODUCE_FAILED,
        f"the broker did not take a record of {topic} ({type(error).__name__}: {error}); stopping, "
        "nothing is committed past it: check the topic's limits and this worker's permissions",
        topic=topic,
    )


def on_published(
    self: Topic, fut: "asyncio.Future[Any]", message: FutureMessage, *args: Any, **more: Any
) -> None:
    """Called when the broker answered for a message."""
    stop_on_failure(message.message.channel.get_topic_name(), fut)
    _on_published(self, fut, message, *args, **more)


async def publish_message(self: Topic, fut: FutureMessage, wait: bool = False) -> Awaitable[Any]:
    """Hands a message to the producer."""
    try:
        return await _publish_message(self, fut, wait)
    except Exception as error:  # noqa: BLE001  whatever it is, the record is not sent
        produce_failed(str(self), error)


def put(self: Any, fut: FutureMessage) -> None:
    """Takes a message into the buffer."""
    self.taken = getattr(self, "taken", 0) + 1
    _put(self, fut)


async def send_pending(self: Any, fut: FutureMessage) -> None:
    """Hands a message of the buffer to the producer."""
    await _send_pending(self, fut)
    self.sent = getattr(self, "sent", 0) + 1


async def flush(self: Any) -> None:
    """Returns once every message that was taken before is with the producer; later ones may follow."""
    wanted = getattr(self, "taken", 0)
    while (unsent := wanted - getattr(self, "sent", 0)) > 0:
        if self.state != "running":
            raise RuntimeError(f"{unsent} table changes are unsent and the producer is {self.state}")
        await asyncio.sleep(FLUSH_POLL)


PATCHES = (
    patch(
        "publishing",
        Topic,
        "_on_published",
        "7cfe9ebd65964b0a9e7845853f98d58b995907b0020493fa1d2fa3a52aa29f8f",
        on_published,
    ),
    patch(
        "publishing",
        Topic,
        "publish_message",
        "4ce1cbc353047a36edfa0ea78ae5c542b660bda6a3a04f5b8f2d1c9919701404",
        publish_message,
    ),
    patch(
        "publishing",
        ProducerBuffer,
        "put",
        "bf26dfbc01d910885635a5a8cb83726ba90f7eac819404564bbfdba2856900a3",
        put,
    ),
    patch(
        "publishing",
        ProducerBuffer,
        "_send_pending",
        "4a9d5f932b56bc6842151bfc868aec1570d53cab7ff129ece408d966ac7f7da8",
        send_pending,
    ),
    patch(
        "publishing",
        ProducerBuffer,
        "flush",
        "26fbebb124ad9c9890f19b4615585cf3eda102b61203e6aa885d3fabfda9b157",
        flush,
    ),
)
