"""How reading and writing records can fail."""

from schemas.dead_letter_kinds import DeadLetterKind

_MOST_TEXT = 500


def one_line(text: str) -> str:
    """What somebody else wrote, for logs and errors: short, in one line, with nothing a terminal obeys."""
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


REASON_BYTES = 512
"""How much of an error's text is kept: it may quote what a record holds, and that may be megabytes."""


def shortened(text: str, limit: int = REASON_BYTES) -> str:
    """The first `limit` bytes of `text` in UTF-8, cut between characters; lone surrogates are escaped."""
    return text[:limit].encode(errors="backslashreplace")[:limit].decode(errors="ignore")


class SchemaError(Exception):
    """Base of the errors of this package."""


class CatalogError(SchemaError):
    """The folder of schemas and topics contradicts itself; the text names the file."""


class Undecodable(SchemaError):
    """Bytes that can never become a record of their topic; the text says why."""

    def __init__(self, kind: DeadLetterKind, reason: str) -> None:
        # schemas and bytes of others are quoted in it
        self.kind, self.reason = kind, shortened(one_line(reason))
        super().__init__(self.reason)


class Unencodable(SchemaError):
    """A record that its topic's schema cannot carry."""


class RegistryAway(SchemaError):
    """The registry does not answer, or with what is no answer of one; wait and try again."""


class NotRegistered(SchemaError):
    """The registry does not know our schema: the deploy step was not run."""


class BrokerAway(SchemaError):
    """The broker does not answer; wait and try again."""


class DeployRefused(SchemaError):
    """A change that would break readers or keyed tables; one line for each schema or topic at fault."""
