"""Text of others where a person reads it.

What moves a cursor, colours or clears a screen, turns the direction of writing or cannot be seen stands
as an escape such as `\\x1b` or `\\u202e`, so that it can neither hide nor forge a line.
"""

import json
import unicodedata
from functools import cache

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (direction, zero width), surrogates, separators of lines."""
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that show nothing."""


def visible(text: str, keep: str = "") -> str:
    """`text` with what cannot be seen as escapes, but for the characters in `keep`."""
    return text.translate(_escapes(keep, False))


def visible_json(text: str) -> str:
    """JSON text, over several lines or one, in which texts carry such characters as JSON's own escapes."""
    return text.translate(_escapes("\n", True))


class _Escapes(dict[int, str]):
    """What each character is written as, found when it is first met."""

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
