"""How reading and writing records can fail."""

from schemas.dead_letter_kinds import DeadLetterKind

_MOST_TEXT = 500


def one_line(text: str) -> str:
    """Untrusted text for logs and errors: shortened, on one line, without terminal control characters."""
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


REASON_BYTES = 512
"""Bytes of an error's text that are kept: it may quote megabytes of a record."""


def shortened(text: str, limit: int = REASON_BYTES) -> str:
    """The first `limit` bytes of `text` in UTF-8, cut between characters; lone surrogates are escaped."""
    return text[:limit].encode(errors="backslashreplace")[:limit].decode(errors="ignore")


class SchemaError(Exception):
    """Base of the errors of this package."""


class CatalogError(SchemaError):
    """The files of schemas and topics contradict each other; the text names the file."""


class Undecodable(SchemaError):
    """Bytes that can never become a record of their topic; the text says why."""

    def __init__(self, kind: DeadLetterKind, reason: str) -> None:
        # schemas and bytes of others are quoted in it
        self.kind, self.reason = kind, shortened(one_line(reason))
        super().__init__(self.reason)


class Unencodable(SchemaError):
    """A record that its topic's schema cannot carry."""


class RegistryAway(SchemaError):
    """The registry does not answer, or not as a registry does; wait and try again."""


class NotRegistered(SchemaError):
    """The registry does not know our schema: the deploy step was not run."""


class BrokerAway(SchemaError):
    """The broker does not answer; wait and try again."""


class DeployRefused(SchemaError):
    """A change that would break readers or keyed tables; one line for each schema or topic at fault."""
