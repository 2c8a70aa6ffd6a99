"""The Faust application of a stage: raw bytes in, raw bytes in the table, one agent."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streams.faust_runner.safety  # noqa: F401  # isort: skip
import faust

from schemas.settings import KafkaSettings
from schemas.stages import changelog_of, group_of
from streams.faust_runner.safety.app_settings import app_options, table_options
from streams.faust_runner.safety.tables import RestoreWithinBounds
from streams.runtime.kafka_clients import ssl_context

TABLE = "state"
RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


@dataclass(frozen=True)
class Application:
    """What the runner works with; `table` is None for a stage without memory."""

    app: Any
    inbox: Any
    table: Any


def build(
    stage: str, sources: list[str], kafka: KafkaSettings, folder: Path, worker: str, *, keyed: bool
) -> Application:
    """The application of `stage`, reading the physical topics `sources`."""
    servers = [f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")]
    app = faust.App(
        group_of(stage),
        broker=servers,
        broker_credentials=_credentials(kafka),
        # workers of the same name may run on several machines
        **app_options(folder, f"{group_of(stage)}-{socket.gethostname()}-{worker}"),
    )
    inbox = app.topic(*sources, **RAW)
    table = None
    if keyed:
        changelog = app.topic(kafka.physical(changelog_of(stage)), **RAW)
        table = app.Table(
            TABLE,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=changelog,
            options=table_options(),
            on_changelog_event=RestoreWithinBounds(app),
        )
    return Application(app, inbox, table)


def _credentials(kafka: KafkaSettings) -> Any:
    if kafka.security_protocol == "PLAINTEXT":
        return None
    context = ssl_context(kafka)
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    assert kafka.sasl_password is not None
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value(),
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )
