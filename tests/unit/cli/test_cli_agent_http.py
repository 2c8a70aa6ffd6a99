"""`opoi agent check` and `serve`: exit codes, tables, one-line errors."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from examples.support_refund import policy
from examples.support_refund.production import FOLDER
from local_stack.ports import free_port
from streams.cli.main import app
from streams.errors import UserError
from tests.refund_agent import served

SPEC = str(FOLDER / "spec.yaml")


@pytest.fixture
def url() -> Iterator[str]:
    """The support-refund agent, served."""
    with served() as address:
        yield address


def opoi(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr. Raises UserError."""
    result = CliRunner().invoke(app, ["agent", *words])
    if isinstance(result.exception, UserError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_an_agent_that_keeps_the_contract_passes_with_a_table(url: str) -> None:
    code, out, errors = opoi(
        "check", url, "--spec", SPEC, "--seconds", "5", "--canary-port", str(free_port())
    )
    assert (code, errors) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["CLAUSE", "OUTCOME", "SEEN"]
    assert {row.split()[1] for row in rows} == {"kept"}, out


def test_what_was_not_shown_did_not_pass(url: str) -> None:
    code, out, errors = opoi("check", url, "--spec", SPEC, "--seconds", "5")
    assert code == 0
    assert out.splitlines()[-1].split()[:3] == ["canary", "not", "shown"]
    assert errors == f"{url} passed; not shown: canary\n"


def test_a_breach_is_named_and_exits_with_3(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that says that it refused while it paid."""
    honest = policy.decide

    def lying(*given: object) -> policy.Decision:
        decided = honest(*given)  # type: ignore[arg-type]
        return Liar(decided.action, decided.target, decided.arguments, decided.rationale)

    class Liar(policy.Decision):
        @property
        def write(self) -> tuple[str, dict[str, object]]:
            return "pay_refund", {"order_id": self.target, "amount_minor": 1}

    monkeypatch.setattr(policy, "decide", lying)
    code, out, errors = opoi("check", url, "--spec", SPEC, "--seconds", "5", "--json")
    assert code == 3
    found = {one["clause"]: one["outcome"] for one in json.loads(out)}
    assert found["writes"] == "broken"
    assert errors == f"{url} breaks the contract: writes\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("check", "agent:1"), 2, "'agent:1' is no URL of an agent; one looks like http://"),
        (("check", "http://127.0.0.1:9"), 1, "the agent at http://127.0.0.1:9 cannot be reached"),
        (("serve", "nowhere.yaml"), 2, "nowhere.yaml cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], code: int, said: str) -> None:
    with pytest.raises(UserError) as caught:
        opoi(*words)
    assert caught.value.exit_code == code
    assert caught.value.message.startswith(said)
    assert "\n" not in caught.value.message


def test_a_spec_without_a_sample_says_what_it_is_for(url: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "agent")
    sample = tmp_path / "agent" / "sample.yaml"
    sample.unlink()
    with pytest.raises(UserError, match="it holds the decision that the agent is checked on"):
        opoi("check", url, "--spec", str(tmp_path / "agent" / "spec.yaml"))
    sample.write_text("question: [")
    with pytest.raises(UserError, match=r"sample\.yaml is no YAML"):
        opoi("check", url, "--spec", str(tmp_path / "agent" / "spec.yaml"))
    sample.write_text("question: Why?")
    with pytest.raises(UserError, match=r"sample\.yaml is no sample: account_id: Field required"):
        opoi("check", url, "--spec", str(tmp_path / "agent" / "spec.yaml"))


def test_a_port_that_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*; choose another port with --port"
        ) as caught:
            opoi("serve", "media_buyer", "--port", str(port))
        assert caught.value.exit_code == 2
