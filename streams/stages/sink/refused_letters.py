"""The dead letters of a batch: one for each record that the sink or ClickHouse refused."""

from collections.abc import Sequence
from uuid import UUID

from schemas.catalog import topics
from schemas.stages import DEAD_LETTERS
from streams.runtime.dead_letters import DeadLetters, Letter
from streams.runtime.exit_codes import ExitCode
from streams.runtime.kafka_clients import DeliveryFailed
from streams.stages.sink.batch import Entry
from streams.stages.sink.ports import STAGE, Letters, SinkStopped

UNKNOWN_TOPIC_ID = UUID(int=0)
"""Of a record that was never read."""


class RefusedLetters:
    """Makes the letters and sends them with `producer`."""

    def __init__(self, producer: Letters) -> None:
        self._producer = producer
        self._letters = DeadLetters(STAGE, topics())

    def send(self, refused: Sequence[Entry]) -> None:
        """Returns once the broker has acknowledged all of them. Raises SinkStopped."""
        made = [self._letter(entry) for entry in refused]
        for letter in made:
            self._producer.send(DEAD_LETTERS, letter.key, letter.value, headers=letter.headers)
        try:
            self._producer.flush()
        except DeliveryFailed as error:
            raise SinkStopped(
                ExitCode.PRODUCE_FAILED, f"{DEAD_LETTERS} cannot be written: {error}"
            ) from error
        for letter in made:
            self._letters.sent(letter)

    def _letter(self, entry: Entry) -> Letter:
        refusal = entry.refusal
        assert refusal is not None
        topic_id = str(entry.topic_id) if entry.topic_id != UNKNOWN_TOPIC_ID else ""
        return self._letters.letter_of(
            entry.arrived, kind=refusal.kind, reason=refusal.reason, topic_id=topic_id
        )
