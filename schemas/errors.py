"""How reading and writing records can fail."""


class SchemaError(Exception):
    """Base of the errors of this package."""


class CatalogError(SchemaError):
    """The folder of schemas and topics contradicts itself; the text names the file."""


class Undecodable(SchemaError):
    """Bytes that can never become a record of their topic; `kind` is a short stable code.

    Kinds: `empty_body`, `not_framed`, `truncated`, `unknown_schema_id`, `wrong_record`,
    `unresolvable`, `trailing_bytes`, `contract`.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


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
