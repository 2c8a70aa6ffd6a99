"""Settings of the wire: the broker, the schema registry, topic names.

Also the base and the value types that the settings of every package share. `streams.settings` reads all
settings; the variable of a field is `OPOI_<GROUP>__<FIELD>`.
"""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator


class SettingsModel(BaseModel):
    """One group of settings: immutable, an unknown field is an error, docstrings are the reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8081")
    return value.rstrip("/")


def _bootstrap(value: str) -> str:
    for server in value.split(","):
        if not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^\s:/]+):\d{1,5}", server.strip()):
            raise ValueError("must be host:port, or several separated by commas")
    return value


def _topic(value: str) -> str:
    # the broker's own rule; the names become parts of the registry's URLs too
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError("must be 1 to 249 letters, digits, `.`, `_` and `-`, and not `.` or `..`")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
"""An http or https URL, kept without a trailing slash."""

Absent = BeforeValidator(lambda value: None if value == "" else value)
"""An empty variable means that the value is absent."""

Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[float, Field(ge=0, le=1)]


class KafkaSettings(SettingsModel):
    """The broker and how topics are named on it."""

    bootstrap_servers: Annotated[str, AfterValidator(_bootstrap)] = "127.0.0.1:19092"
    """host:port of one or more brokers, separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Protocol of the broker: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None, Absent] = None
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; required with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: Annotated[str | None, Absent] = None
    """User; required with SASL_PLAINTEXT and SASL_SSL."""
    sasl_password: Annotated[SecretStr | None, Absent] = None
    """Password; required with SASL_PLAINTEXT and SASL_SSL."""
    ssl_ca_location: Annotated[str | None, Absent] = None
    """File of the certificate authority that signed the broker's certificate; absent: the system's."""
    ssl_certificate_location: Annotated[str | None, Absent] = None
    """File of the client's certificate, if the broker asks for one."""
    ssl_key_location: Annotated[str | None, Absent] = None
    """File of the client's private key."""
    ssl_key_password: Annotated[SecretStr | None, Absent] = None
    """Password of the client's private key."""
    group_protocol: Literal["consumer", "classic"] = "classic"
    """`classic`, or `consumer` (KIP-848) on brokers from 4.0; see docs/decisions.md."""
    topic_names: dict[str, Annotated[str, AfterValidator(_topic)]] = {}
    """Physical topic names by logical name, as JSON; a topic that is not listed keeps its logical name."""
    partitions: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of partitions of each topic instead of the catalog's 32; the local stack sets 8."""

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            missing = [
                name
                for name in ("sasl_mechanism", "sasl_username", "sasl_password")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(f"{self.security_protocol} also needs {', '.join(missing)}")
        return self

    def physical(self, topic: str) -> str:
        """The name on the broker of the logical `topic`."""
        return self.topic_names.get(topic, topic)

    def client_config(self) -> dict[str, str]:
        """Connection properties of a librdkafka client (confluent-kafka), secrets in the clear."""
        values = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
            if value is not None
        }


class RegistrySettings(SettingsModel):
    """A schema registry with the Confluent API."""

    url: HttpUrl = "http://127.0.0.1:18081/apis/ccompat/v7"
    """Base URL of the registry's Confluent API, path included."""
    username: Annotated[str | None, Absent] = None
    """User for basic authentication."""
    password: Annotated[SecretStr | None, Absent] = None
    """Password for basic authentication."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: set both or neither")
        return self

    def basic_authentication(self) -> tuple[str, str] | None:
        """User and password in the clear; None if the registry asks for none."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password.get_secret_value()

    def client_config(self) -> dict[str, str | int]:
        """Configuration of `confluent_kafka.schema_registry.SchemaRegistryClient`, secrets in the clear."""
        # by default the client waits for ever, and Apicurio 3.3.3 leaves one request of thousands open
        config: dict[str, str | int] = {"url": self.url, "timeout": 5}
        if (user := self.basic_authentication()) is not None:
            config["basic.auth.user.info"] = ":".join(user)
        return config
