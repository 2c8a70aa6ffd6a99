"""One record in the hands of a worker that is not Faust's."""

from dataclasses import dataclass

from streams.core.message import Message
from streams.runtime.offsets import PartitionOffsets, Source


@dataclass(eq=False, slots=True)
class Delivery:
    """One record in hand. No offset past it is committed before `done`."""

    arrived: Message
    source: Source
    _partition: PartitionOffsets

    @property
    def live(self) -> bool:
        """Whether the record's partition is still assigned to this worker."""
        return self._partition.live

    @property
    def is_committed(self) -> bool:
        """Whether the broker knows that the record is done."""
        return self._partition.is_committed(self.arrived.coordinates.offset)

    def done(self) -> None:
        """Everything that the record led to is acknowledged."""
        self._partition.done(self.arrived.coordinates.offset)
