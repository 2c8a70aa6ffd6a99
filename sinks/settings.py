"""Settings of the sinks: ClickHouse."""

from typing import Annotated

from pydantic import Field, SecretStr

from schemas.settings import Absent, HttpUrl, SettingsModel


class ClickHouseSettings(SettingsModel):
    """ClickHouse over HTTP: the local engine or a cluster."""

    url: HttpUrl = "http://127.0.0.1:18123"
    """URL of the HTTP interface."""
    user: str = "default"
    """User that migrates and writes."""
    password: SecretStr = SecretStr("")
    """Password of that user."""
    database: str = "opoi"
    """Database of all tables and views; the migrations create it."""
    cluster: Annotated[str | None, Absent] = None
    """Name of the cluster on which tables are replicated; absent: one server."""
    timeout_seconds: Annotated[int, Field(ge=1)] = 60
    """Seconds that one statement may take."""
    batch_rows: Annotated[int, Field(ge=1)] = 10_000
    """Largest number of records in one batch of the sink."""
    batch_bytes: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024
    """Largest number of bytes of records in one batch of the sink."""
    batch_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Seconds that a record waits for others before it is landed."""
