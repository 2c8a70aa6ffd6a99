"""A name that is part of a path leads nowhere else, whatever was written."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schemas.catalog import schema
from schemas.errors import CatalogError
from schemas.names import MOST_BYTES, Identity, UnsafeName, is_address, is_name, safe_name

PARTS = st.sampled_from([".", "..", "/", "\\", "a", "..a", "%2e", "?", "#", "\0", "\n", "é", "\u202e", " "])
TEXTS = st.text(st.characters(), max_size=300) | st.lists(PARTS, max_size=6).map("".join)
UNSAFE = ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "\x1b[2J", "\ud800"]


@given(TEXTS)
@example("..")
@example("é" * MOST_BYTES)
def test_a_name_stays_in_its_folder_and_is_a_files_name(text: str) -> None:
    if is_name(text):
        assert os.path.normpath(f"/folder/{text}") == f"/folder/{text}"
        assert Path("/folder", text).parent == Path("/folder")
        assert len(os.fsencode(f"{text}.{os.getpid()}.new")) <= 255
        assert not Path("/nowhere", text).exists()
        assert safe_name(text, "worker") == text
    else:
        with pytest.raises(UnsafeName):
            safe_name(text, "worker")


@given(TEXTS)
@example("projects/../models/x")
@example("a/%2e%2e/b")
def test_an_address_stays_below_its_place(text: str) -> None:
    if is_address(text):
        url = urlsplit(f"http://model/v1/{text}")
        assert (url.netloc, url.path, url.query, url.fragment) == ("model", f"/v1/{text}", "", "")
        assert os.path.normpath(url.path) == url.path


@given(st.from_regex(r"\A[A-Za-z0-9._:-]+\Z"))
@example("..")
@example(".a")
def test_every_identity_is_a_name(text: str) -> None:
    try:
        TypeAdapter(Identity).validate_python(text)
    except ValueError:
        return
    assert is_name(text)
    assert is_address(text) or ".." in text


@pytest.mark.parametrize("text", [*UNSAFE, "x" * (MOST_BYTES + 1)])
def test_a_name_that_leads_elsewhere_is_refused_with_what_where_and_the_rule(text: str) -> None:
    with pytest.raises(UnsafeName) as caught:
        safe_name(text, "worker")
    assert str(caught.value).startswith(f"worker {text[:80]!r}"[:80])
    assert "must be 1 to 200 bytes of printable characters, without / and \\" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", ["1", "media-buyer", "Käufer #2", "support refund", "..x"[2:], "a..b", "-"])
def test_what_people_call_things_is_a_name(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["../x", "x\0", "x" * 5000])
def test_there_is_no_schema_of_such_a_record(text: str) -> None:
    with pytest.raises(CatalogError, match="no schema of record"):
        schema(text)
