"""Whatever a registry answers, it is away or the schema is refused; nothing else comes out."""

import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec as codec_module
from schemas import registry as registry_module
from schemas.catalog import plain_schema, topics
from schemas.codec import Codec
from schemas.deploy import WireSettings, apply_schemas, check_registered, schema_faults
from schemas.errors import DeployRefused, NotRegistered, RegistryAway, SchemaError, Undecodable
from schemas.examples import examples, framed_examples
from schemas.registry import ConfluentRegistry
from schemas.settings import KafkaSettings, RegistrySettings
from streams.cli.main import run
from tests.unit.schemas.odd_registry import OddRegistry, Script, answer, by_path, http, odd_registry, unknown

TOPIC = "expert.verdicts"
SUBJECT = f"{TOPIC}-value"
OURS = plain_schema("ExpertVerdict")
SCHEMA = {"schema": json.dumps(OURS)}
DEEP = "[" * 100_000 + "]" * 100_000
Asking = Callable[[ConfluentRegistry], object]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_RETRY_SECONDS", 0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[OddRegistry]:
    with odd_registry() as made:
        yield made


@pytest.fixture(scope="module")
def asked(server: OddRegistry) -> ConfluentRegistry:
    return ConfluentRegistry(RegistrySettings(url=server.url))


@pytest.fixture(scope="module")
def hasty(server: OddRegistry) -> ConfluentRegistry:
    """Waits for an answer less than half a second."""
    return ConfluentRegistry(RegistrySettings(url=server.url), 0.3)


AWAY = {
    "html": http("<html>please log in</html>", 200, "text/html"),
    "html as json": http("<html>"),
    "a list": answer([1]),
    "null": answer(None),
    "a text": answer("text"),
    "a number": answer(7),
    "an empty object": answer({}),
    "a schema that is a number": answer({"schema": 7}),
    "a schema that is an object": answer({"schema": OURS}),
    "nothing": http(b""),
    "no content": b"HTTP/1.1 204 X\r\n\r\n",
    "no UTF-8": http(b'{"schema": "\xff\xfe"}'),
    "nested without end": http(DEEP),
    "half of it": http(json.dumps(SCHEMA)[:-9]),
    "a length that is too long": b"HTTP/1.1 200 X\r\nContent-Length: 99999\r\n\r\n"
    + json.dumps(SCHEMA).encode(),
    "a length that is too short": b"HTTP/1.1 200 X\r\nContent-Length: 20\r\n\r\n"
    + json.dumps(SCHEMA).encode(),
    "gzip that was not asked for": http(
        b"\x1f\x8b rubbish", 200, "application/json", "Content-Encoding: gzip"
    ),
    "chunks that are none": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "silence": b"",
    "headers without end": b"HTTP/1.1 200 X\r\n" + b"A: b\r\n" * 100_000,
    "a redirect": http("", 302, "text/html", "Location: http://127.0.0.1:9/login"),
    "unauthorized": answer({"error_code": 40101, "message": "who are you"}, 401),
    "forbidden": answer({"error_code": 40301, "message": "no"}, 403),
    "the 404 of a proxy": http("<html>404</html>", 404, "text/html"),
    "a bare 404": http("", 404),
    "a 404 in JSON": answer({"error_code": 404, "message": "HTTP 404 Not Found"}, 404),
    "a 404 with another code": answer({"error_code": "40403"}, 404),
    "a 404 as a list": answer([40403], 404),
    "unprocessable": answer({"error_code": 42201, "message": "Invalid schema"}, 422),
    "too many requests": http("slow down", 429, "text/plain"),
    "an error": answer({"error_code": 50001, "message": "Error in the backend"}, 500),
    "an error with the code of a missing schema": answer({"error_code": 40403, "message": "x"}, 500),
    "a bad gateway": http("<html>", 502, "text/html"),
    "unavailable": http("", 503),
    "a status of its own": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
}
ASKED: dict[str, Asking] = {
    "schema_of": lambda asked: asked.schema_of(7),
    "id_of": lambda asked: asked.id_of(SUBJECT, OURS),
    "register": lambda asked: asked.register(SUBJECT, OURS),
    "schemas_of": lambda asked: asked.schemas_of(SUBJECT),
    "compatibility": lambda asked: asked.compatibility(SUBJECT),
    "set_compatibility": lambda asked: asked.set_compatibility(SUBJECT, "NONE"),
}
# an answer to one question may be odd to another only
NOT_ODD = {
    ("schemas_of", "a list"),
    ("set_compatibility", "a list"),
    ("set_compatibility", "null"),
    ("set_compatibility", "a text"),
    ("set_compatibility", "a number"),
    ("set_compatibility", "an empty object"),
    ("set_compatibility", "a schema that is a number"),
    ("set_compatibility", "a schema that is an object"),
}


@pytest.mark.parametrize("odd", AWAY)
def test_an_odd_answer_says_nothing_and_is_waited_out(
    server: OddRegistry, asked: ConfluentRegistry, odd: str
) -> None:
    server.answers(AWAY[odd])
    for name, ask in ASKED.items():
        if (name, odd) in NOT_ODD or (name == "register" and odd == "unprocessable"):
            continue
        with pytest.raises(RegistryAway, match=r"registry http://127\.0\.0\.1:\d+/apis ") as away:
            ask(asked)
        assert len(str(away.value)) < 1000, name
        assert str(away.value).isprintable(), name


@pytest.mark.parametrize(
    ("found", "kind", "said"),
    [
        (unknown(), "unknown_schema_id", "has no schema 7"),
        (unknown(40401), "unknown_schema_id", "has no schema 7"),
        (
            answer({"schema": "no JSON"}),
            "unresolvable",
            "schema 7 cannot be used for decoding: it is no JSON",
        ),
        (answer({"schema": DEEP}), "unresolvable", "its JSON is nested too deep"),
        (answer({"schema": ""}), "unresolvable", "it is no JSON"),
        (
            answer({"schema": json.dumps("x" * 300_000)}),
            "unresolvable",
            "300002 characters, allowed are 262144",
        ),
        (
            answer({"schema": "x" * 2_000_000}),
            "unresolvable",
            "the registry answered more than 1048576 bytes",
        ),
        (answer({"schema": "9" * 5000}), "unresolvable", "it is no JSON"),
        (
            answer({"schema": "{}", "schemaType": "JSON"}),
            "wrong_record",
            "schema 7 is JSON, not an Avro record",
        ),
        (answer({"schema": "", "schemaType": "PROTOBUF"}), "wrong_record", "schema 7 is PROTOBUF"),
        (answer({"schema": "", "schemaType": ["AVRO"]}), "wrong_record", "schema 7 is "),
        (answer({**SCHEMA, "references": [{"name": "x"}]}), "unresolvable", "it refers to other schemas"),
    ],
)
def test_a_schema_that_is_answered_and_cannot_be_used_is_refused(
    server: OddRegistry, asked: ConfluentRegistry, found: bytes, kind: str, said: str
) -> None:
    server.answers(found)
    with pytest.raises(Undecodable) as refused:
        asked.schema_of(7)

    assert refused.value.kind == kind
    assert said in refused.value.reason


def drips(begins: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket, path: str) -> None:
        connection.sendall(begins)
        while True:
            connection.sendall(drop)
            time.sleep(0.02)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(drips(b"HTTP/1.1 200 X\r\n", b"A: b\r\n"), id="headers"),
        pytest.param(drips(b"", b"H"), id="not even a line"),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="answers before the answer"),
        pytest.param(drips(b"HTTP/1.1 200 X\r\nContent-Length: 900000\r\n\r\n", b" "), id="a body"),
        pytest.param(
            drips(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), id="chunks"
        ),
        pytest.param(lambda connection, path: time.sleep(3), id="silence"),
    ],
)
def test_an_answer_that_does_not_end_is_waited_for_no_longer_than_one_may_take(
    server: OddRegistry, hasty: ConfluentRegistry, script: Script
) -> None:
    server.answers(script)
    begun = time.monotonic()
    with pytest.raises(RegistryAway, match=r"apis did not end its answer within 0\.3 s"):
        hasty.schema_of(7)

    assert time.monotonic() - begun < 2
    assert len(server.asked) == 2


@pytest.mark.parametrize(("kind", "error"), [("application/json", Undecodable), ("text/html", RegistryAway)])
def test_an_answer_of_any_size_is_read_no_further_than_one_may_have(
    server: OddRegistry, asked: ConfluentRegistry, kind: str, error: type[SchemaError]
) -> None:
    sent = []

    def script(connection: socket.socket, path: str) -> None:
        connection.sendall(
            f"HTTP/1.1 200 X\r\nContent-Type: {kind}\r\nContent-Length: {2**30}\r\n\r\n".encode()
        )
        for _ in range(2**30 // 65536):
            connection.sendall(b" " * 65536)
            sent.append(65536)

    server.answers(script)
    with pytest.raises(error, match="answered more than 1048576 bytes"):
        asked.schema_of(7)

    assert sum(sent) < 2**26


def test_what_passes_is_asked_once_more(server: OddRegistry, asked: ConfluentRegistry) -> None:
    answers = iter([http("", 503), answer(SCHEMA), b"", answer({"id": 4})])
    server.answers(lambda connection, _: connection.sendall(next(answers)))
    assert asked.schema_of(7) == OURS
    assert asked.id_of(SUBJECT, OURS) == 4


def test_a_registry_that_nothing_listens_for_does_not_answer() -> None:
    url = "http://127.0.0.1:9"
    with pytest.raises(RegistryAway, match=f"^registry {url} does not answer: "):
        ConfluentRegistry(RegistrySettings(url=url)).schema_of(7)


def test_the_registrys_password_is_in_no_error(server: OddRegistry) -> None:
    server.answers(http("", 503))
    url = server.url.replace("//", "//somebody:secret@")
    with pytest.raises(RegistryAway) as away:
        ConfluentRegistry(RegistrySettings(url=url)).schema_of(7)

    assert "secret" not in str(away.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999999", "http://a:1,http://b:2", "http://\u00df.\ud800"]
)
def test_an_address_that_is_none_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(RegistryAway):
        ConfluentRegistry(RegistrySettings.model_construct(url=url, username=None, password=None)).schema_of(
            7
        )


@pytest.mark.parametrize("number", [-1, 2**31, 2**40, True, 1.5, "7", None])
def test_an_id_that_no_frame_can_carry_is_no_answer(
    server: OddRegistry, asked: ConfluentRegistry, number: Any
) -> None:
    server.answers(answer({"id": number}))
    with pytest.raises(RegistryAway):
        asked.id_of(SUBJECT, OURS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "schema", "error_code", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    status=st.sampled_from([200, 201, 204, 301, 400, 401, 404, 409, 422, 429, 500, 503]),
    body=JSON.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=40),
)
def test_nothing_but_our_errors_comes_out(
    server: OddRegistry, asked: ConfluentRegistry, status: int, body: bytes
) -> None:
    server.answers(http(body, status))
    for ask in (*ASKED.values(), lambda found: found.subjects_of(7)):
        with suppress(RegistryAway, Undecodable, NotRegistered, DeployRefused):
            ask(asked)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_nothing_but_our_errors_comes_out_of_any_bytes(
    server: OddRegistry, hasty: ConfluentRegistry, content: bytes
) -> None:
    server.answers(content)
    with suppress(RegistryAway, Undecodable):
        hasty.schema_of(7)


# subjects


def subjects(*names: str) -> bytes:
    return answer([{"subject": name, "version": 1} for name in names])


@pytest.fixture
def newer() -> dict[str, Any]:
    """The schema of a writer that writes one field more than this version knows."""
    schema = plain_schema("ExpertVerdict")
    schema["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    return schema


@pytest.fixture
def written(newer: dict[str, Any]) -> bytes:
    """A verdict of that writer, with the schema id 7."""
    return struct.pack(">bI", 0, 7) + framed_examples(TOPIC)[0][5:] + b"\x00"


@pytest.mark.parametrize("others", [(), ("other-value",)])
def test_a_schema_of_another_subject_is_refused(
    server: OddRegistry,
    asked: ConfluentRegistry,
    newer: dict[str, Any],
    written: bytes,
    others: tuple[str, ...],
) -> None:
    script = by_path(versions=subjects(*others), other=answer({"schema": json.dumps(newer)}))
    server.answers(script)
    codec = Codec(asked)
    for _ in range(3):
        with pytest.raises(Undecodable) as refused:
            codec.decode(TOPIC, written)
        assert refused.value.kind == "wrong_subject"

    assert refused.value.reason == (
        f"schema 7 is registered under {', '.join(others) or 'no subject'}, not under {SUBJECT}: "
        "register it there and send the record again"
    )
    assert server.asked == ["GET /schemas/ids/7", "GET /schemas/ids/7/versions?deleted=true"]


@pytest.mark.parametrize("names", [(SUBJECT,), ("other-value", SUBJECT), (f":.context:{SUBJECT}",)])
def test_a_schema_of_the_topics_subject_is_read(
    server: OddRegistry,
    asked: ConfluentRegistry,
    newer: dict[str, Any],
    written: bytes,
    names: tuple[str, ...],
) -> None:
    script = by_path(versions=subjects(*names), other=answer({"schema": json.dumps(newer)}))
    server.answers(script)
    codec = Codec(asked)
    assert [codec.decode(TOPIC, written) for _ in range(3)] == [examples(TOPIC)[0]] * 3

    assert len(server.asked) == 2


MOMENTARY = {
    "a length that is too long",
    "gzip that was not asked for",
    "chunks that are none",
    "no HTTP",
    "silence",
    "headers without end",
    "too many requests",
    "an error",
    "an error with the code of a missing schema",
    "a bad gateway",
    "unavailable",
}


@pytest.mark.parametrize("odd", sorted(AWAY.keys() - MOMENTARY))
def test_a_registry_that_cannot_tell_the_subjects_breaks_no_good_record(
    server: OddRegistry, asked: ConfluentRegistry, newer: dict[str, Any], written: bytes, odd: str
) -> None:
    script = by_path(versions=AWAY[odd], other=answer({"schema": json.dumps(newer)}))
    server.answers(script)
    assert Codec(asked).decode(TOPIC, written) == examples(TOPIC)[0]


@pytest.mark.parametrize("odd", sorted(MOMENTARY))
def test_a_registry_that_is_away_when_it_is_asked_for_subjects_is_waited_for(
    server: OddRegistry, asked: ConfluentRegistry, newer: dict[str, Any], written: bytes, odd: str
) -> None:
    script = by_path(versions=AWAY[odd], other=answer({"schema": json.dumps(newer)}))
    server.answers(script)
    codec = Codec(asked)
    with pytest.raises(RegistryAway):
        codec.decode(TOPIC, written)
    server.script = by_path(versions=subjects(SUBJECT), other=answer({"schema": json.dumps(newer)}))
    assert codec.decode(TOPIC, written) == examples(TOPIC)[0]


def test_our_own_schema_needs_no_subject(server: OddRegistry, asked: ConfluentRegistry) -> None:
    value = struct.pack(">bI", 0, 7) + framed_examples(TOPIC)[0][5:]
    server.answers(answer(SCHEMA))
    assert Codec(asked).decode(TOPIC, value) == examples(TOPIC)[0]

    assert server.asked == ["GET /schemas/ids/7"]


# what is refused is not asked for with each record


@pytest.mark.parametrize(
    "found", [unknown(), answer({"schema": "no JSON"}), answer({"schema": '"int"'}), answer({"schema": DEEP})]
)
def test_a_refusal_holds_for_a_while(
    server: OddRegistry, asked: ConfluentRegistry, found: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(codec_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    value = struct.pack(">bI", 0, 7) + framed_examples(TOPIC)[0][5:]
    server.answers(found)
    codec = Codec(asked)
    said = set()
    for _ in range(5):
        with pytest.raises(Undecodable) as refused:
            codec.decode(TOPIC, value)
        said.add((refused.value.kind, refused.value.reason))
    assert len(said) == 1
    assert len(server.asked) == 1

    now[0] += codec_module.REFUSED_SECONDS
    server.answers(answer(SCHEMA))
    assert codec.decode(TOPIC, value) == examples(TOPIC)[0]


def test_what_is_kept_is_bounded(server: OddRegistry, asked: ConfluentRegistry) -> None:
    server.answers(unknown())
    codec = Codec(asked)
    for number in range(1100):
        with pytest.raises(Undecodable):
            codec.decode(TOPIC, struct.pack(">bI", 0, number) + b"body")

    assert len(codec._refused) <= 500


def test_an_id_that_no_registry_can_have_is_not_asked_for(
    server: OddRegistry, asked: ConfluentRegistry
) -> None:
    server.answers(answer(SCHEMA))
    with pytest.raises(Undecodable) as refused:
        Codec(asked).decode(TOPIC, struct.pack(">bI", 0, 2**31) + b"body")

    assert refused.value.kind == "unknown_schema_id"
    assert server.asked == []


# deploying


def wire(server: OddRegistry) -> WireSettings:
    class Wire:
        kafka = KafkaSettings()
        registry = RegistrySettings(url=server.url)

    return Wire()


@pytest.mark.parametrize("odd", AWAY)
def test_deploying_ends_with_an_error_of_ours(server: OddRegistry, odd: str) -> None:
    server.answers(AWAY[odd])
    for deploy in (lambda: apply_schemas(wire(server), str), lambda: check_registered(wire(server))):
        with pytest.raises((RegistryAway, DeployRefused)):
            deploy()
    [fault] = schema_faults(wire(server))

    assert fault.subject == "registry"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON", "it is no JSON"),
        (DEEP, "its JSON is nested too deep"),
        (
            '{"type": "record", "name": "a b", "fields": []}',
            "the earlier schema is not valid Avro: ",
        ),
    ],
)
def test_a_version_that_nothing_can_be_made_of_is_a_fault_of_its_subject(
    server: OddRegistry, text: str, said: str
) -> None:
    script = by_path(
        **{"versions/1": answer({"schema": text}), "versions": answer([1]), "config": unknown(40408)},
        other=unknown(40401),
    )
    server.answers(script)
    results = check_registered(wire(server))

    written = [result for result in results if topics()[result.topic].produced]
    assert written
    for result in written:
        [problem] = result.problems
        assert problem.startswith(
            ("this version cannot be used for decoding", "the earlier schema is not valid")
        )
        assert said in problem
        assert problem.endswith("(against version 1)")


@pytest.fixture
def opoi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The command line on a registry: exit code and what it says on stderr."""

    def command(server: OddRegistry, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("OPOI_REGISTRY__URL", server.url)
        monkeypatch.setattr(sys, "argv", ["opoi", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return command


@pytest.mark.parametrize("arguments", [("schemas", "apply"), ("schemas", "check", "--registry")])
@pytest.mark.parametrize("odd", ["html", "a list", "null", "no UTF-8", "silence", "forbidden"])
def test_the_command_line_says_it_in_one_line(
    server: OddRegistry, opoi: Callable[..., tuple[int, str]], arguments: tuple[str, ...], odd: str
) -> None:
    server.answers(AWAY[odd])
    code, told = opoi(server, *arguments)

    assert code == 1
    [line] = told.splitlines()
    assert server.url in line
