"""How reading and writing records can fail."""

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
    """Bytes that can never become a record of their topic; `kind` is a short stable code.

    Kinds: `empty_body`, `not_framed`, `truncated`, `unknown_schema_id`, `wrong_record`,
    `unresolvable`, `trailing_bytes`, `contract`. The text is kept `shortened`.
    """

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = shortened(reason)
        super().__init__(self.reason)


class Unencodable(SchemaError):
    """A record that its topic's schema cannot carry."""


class RegistryAway(SchemaError):
    """The registry does not answer; wait and try again."""


class NotRegistered(SchemaError):
    """The registry does not know our schema: the deploy step was not run."""


class BrokerAway(SchemaError):
    """The broker does not answer; wait and try again."""


class DeployRefused(SchemaError):
    """A change that would break readers or keyed tables; one line for each schema or topic at fault."""
