"""The base of every record: immutable, validated, without unknown fields."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _utc_milliseconds(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone; records carry UTC times")
    try:
        value = value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{value.isoformat()} is no UTC time between the years 1 and 9999") from error
    return value - timedelta(microseconds=value.microsecond % 1000)


# cut to Avro's timestamp-millis, so that a record equals its decoded copy
Timestamp = Annotated[datetime, AfterValidator(_utc_milliseconds)]

Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""Avro's int."""
Long = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""Avro's long."""


class Record(BaseModel):
    """One Avro record as Python. Sub-classes are generated from `schemas/avsc`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        # a log-probability may be -inf, which JSON has no number for; the text is read back
        ser_json_inf_nan="strings",
    )

    schema_name: ClassVar[str]

    def to_avro(self) -> dict[str, Any]:
        """The record as the value that fastavro encodes."""
        # pydantic's warnings would quote values; fastavro and the codec check the fields
        return self.model_dump(warnings=False)
