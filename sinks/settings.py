"""Settings of the sinks: ClickHouse."""

from pydantic import SecretStr

from schemas.settings import HttpUrl, SettingsModel


class ClickHouseSettings(SettingsModel):
    """ClickHouse over HTTP: the local engine or a cluster."""

    url: HttpUrl = "http://127.0.0.1:18123"
    """URL of the HTTP interface."""
    user: str = "default"
    """User that migrates and writes."""
    password: SecretStr = SecretStr("")
    """Password of that user."""
    database: str = "opoi"
    """Database of all tables and views; made by the migrations."""
