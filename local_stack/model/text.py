"""Rationales as text and back: the tokens of a text that the model wrote are exactly those it sampled."""

import re
from collections.abc import Mapping, Sequence

from local_stack.model.vocabulary import FIRST, ID, KIND, NAMES, POINTER, REFERENCE, STOP, UNKNOWN, WORD

_STOP, _UNKNOWN = FIRST[STOP], FIRST[UNKNOWN]
_COMMA = ID[","]
_WORD = re.compile(r"[A-Za-z][A-Za-z'_-]*")
_OTHER = re.compile(r"\d[\d.,]*\d%?|\d%?|[^\sA-Za-z\d.,]+")
_WORDS = {NAMES[token]: token for token in range(len(NAMES)) if KIND[token] == WORD}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_CAPITAL_WORDS = {_capital(word): token for word, token in _WORDS.items()}


def write(tokens: Sequence[int], surfaces: Mapping[str, str]) -> list[str]:
    """The piece of text that each token of a rationale adds; `surfaces` are the request's numbers."""
    pieces = []
    opens_sentence = True
    for place, token in enumerate(tokens):
        word = surfaces.get(NAMES[token], NAMES[token])
        if opens_sentence:
            word = _capital(word)
        glued = place == 0 or token in (_STOP, _COMMA)
        pieces.append(word if glued else f" {word}")
        opens_sentence = token == _STOP
    return pieces


def read(text: str, surfaces: Mapping[str, str]) -> list[int]:
    """The tokens of a text; words without a token become the unknown token."""
    numbers = sorted(
        ((surface, ID[name]) for name, surface in surfaces.items() if KIND[ID[name]] in (POINTER, REFERENCE)),
        key=lambda item: -len(item[0]),
    )
    tokens: list[int] = []
    place, opens_sentence = 0, True
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        token, place = _next(text, place, opens_sentence, numbers)
        tokens.append(token)
        opens_sentence = token == _STOP
    return tokens


def _next(text: str, place: int, opens_sentence: bool, numbers: list[tuple[str, int]]) -> tuple[int, int]:
    """The token at `place`, and the place after it."""
    for surface, token in numbers:
        shown = _capital(surface) if opens_sentence else surface
        end = place + len(shown)
        if text.startswith(shown, place) and not text[end : end + 1].isalnum():
            return token, end
    if text[place] in ".,":
        return (_STOP if text[place] == "." else _COMMA), place + 1
    word = _WORD.match(text, place)
    if word is not None:
        found = _WORDS.get(word[0])
        if found is None and opens_sentence:
            found = _CAPITAL_WORDS.get(word[0])
        return (_UNKNOWN if found is None else found), word.end()
    other = _OTHER.match(text, place)
    return _UNKNOWN, other.end() if other else place + 1
