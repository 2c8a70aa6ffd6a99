"""Text of others for a person's screen.

Characters that move a cursor, colour or clear a screen, turn the direction of writing or cannot be seen are
written as escapes such as `\\x1b` or `\\u202e`, so that they can neither hide nor forge a line.
"""

import json
import unicodedata
from functools import cache

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (direction, zero width), surrogates, separators of lines."""
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are invisible."""


def visible(text: str, keep: str = "") -> str:
    """`text` with invisible characters as escapes, except those in `keep`."""
    return text.translate(_escapes(keep, False))


def visible_json(text: str) -> str:
    """JSON text, over several lines or one, with such characters as JSON's own escapes."""
    return text.translate(_escapes("\n", True))


class _Escapes(dict[int, str]):
    """How each character is written; computed at its first use."""

    def __init__(self, keep: str, as_json: bool) -> None:
        super().__init__((ord(one), one) for one in keep)
        self._as_json = as_json

    def __missing__(self, code: int) -> str:
        one = chr(code)
        if unicodedata.category(one) not in HIDDEN and one not in BLANK:
            written = one
        elif self._as_json:
            written = json.dumps(one)[1:-1]
        else:
            written = one.encode("unicode_escape").decode()
        self[code] = written
        return written


@cache
def _escapes(keep: str, as_json: bool) -> _Escapes:
    return _Escapes(keep, as_json)
