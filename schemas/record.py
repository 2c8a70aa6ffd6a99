"""The base of every record: immutable, closed, checked when made."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict


def _utc_milliseconds(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone; records carry UTC times")
    value = value.astimezone(UTC)
    return value - timedelta(microseconds=value.microsecond % 1000)


# what Avro's timestamp-millis can carry, so that a record equals what comes back from the wire
Timestamp = Annotated[datetime, AfterValidator(_utc_milliseconds)]


class Record(BaseModel):
    """One Avro record as Python. Sub-classes are generated from `schemas/avsc`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_name: ClassVar[str]

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return self.model_dump()
