"""The client's canonical JSON is the library's that the pipeline uses, for whatever JSON can carry."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from opoi_client.canonical import NotCanonical, canonical_json

SCALARS = st.none() | st.booleans() | st.integers(-(2**55), 2**55) | st.floats() | st.text(st.characters())
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_both_write_the_same_or_refuse(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError:
        with pytest.raises(NotCanonical):
            canonical_json(value)
    else:
        assert canonical_json(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_has_the_same_layout(value: float) -> None:
    assert canonical_json(value) == rfc8785.dumps(value).decode()
