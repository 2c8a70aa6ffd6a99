"""Which texts are safe as names in file paths and URLs: none can lead to another place."""

from typing import Annotated

from pydantic import AfterValidator, Field

MOST_BYTES = 200
"""Of the 255 bytes of a file's name; the others are for suffixes."""
NAME_RULE = f"must be 1 to {MOST_BYTES} bytes of printable characters, without / and \\, the first no dot"
ADDRESS_RULE = "must be names separated by /, without `..` and ? # % &"
SHOWN = 80
"""Characters of a refused name that an error shows."""


class UnsafeName(ValueError):
    """A text that is not safe as a name; the message has the text, what it names and the rule."""


def is_name(value: str) -> bool:
    """Whether `value` may be one part of a path."""
    return (
        value.isprintable()
        and 0 < len(value.encode()) <= MOST_BYTES
        and not value.startswith(".")
        and not set(value) & set("/\\")
    )


def is_address(value: str) -> bool:
    """Whether `value` may be several parts of a URL's path, such as a model's resource name."""
    return all(map(is_name, value.split("/"))) and ".." not in value and not set(value) & set("?#%&")


def safe_name(value: str, what: str) -> str:
    """`value`, checked as the name of `what`. Raises UnsafeName."""
    if not is_name(value):
        cut = f"{value[:SHOWN]}…" if len(value) > SHOWN else value
        raise UnsafeName(f"{what} {cut!r} {NAME_RULE}")
    return value


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(NAME_RULE)
    return value


def _address(value: str) -> str:
    if not is_address(value):
        raise ValueError(ADDRESS_RULE)
    return value


Name = Annotated[str, AfterValidator(_name)]
"""A name, as a field of a setting or a specification."""

Address = Annotated[str, AfterValidator(_address)]
"""Names with / between them."""

Identity = Annotated[
    str, Field(min_length=1, max_length=MOST_BYTES, pattern=r"^[A-Za-z0-9_:-][A-Za-z0-9._:-]*$")
]
"""An id that is safe in a URL's path without escaping."""
