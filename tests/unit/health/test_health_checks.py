"""What the doctor makes of the pipeline; nothing here asks a broker."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.settings import ReplaySettings
from schemas.settings import KafkaSettings
from streams.cli import doctor
from streams.health import checks
from streams.health.checks import Finding, Pipeline
from streams.settings import Settings


def only(found: list[Finding]) -> Finding:
    """The one finding."""
    assert len(found) == 1
    return found[0]


def test_the_built_in_secret_is_for_this_machine_alone(tmp_path: Path) -> None:
    elsewhere = KafkaSettings(bootstrap_servers="broker.example.org:9092")
    assert only(list(checks.secret(Pipeline(Settings(home=tmp_path))))).outcome == "ok"
    shared = only(list(checks.secret(Pipeline(Settings(home=tmp_path, kafka=elsewhere)))))
    assert (shared.outcome, "OPOI_REPLAY__ORACLE_SECRET" in shared.message) == ("fault", True)
    own = ReplaySettings(oracle_secret=SecretStr("a secret of our own"))
    mended = Pipeline(Settings(home=tmp_path, kafka=elsewhere, replay=own))
    assert only(list(checks.secret(mended))).outcome == "ok"


def test_many_faults_of_a_kind_are_counted() -> None:
    faults = [
        Finding("topics", "fault", f"topic {number}", "run `opoi topics apply`") for number in range(30)
    ]
    found = list(checks.few("topics", faults))
    assert len(found) == checks.MANY + 1
    assert found[-1].message == "and 27 more of this kind"


def test_without_the_one_machine_stack_the_pipeline_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'psutil'", name="psutil")

    monkeypatch.setattr(doctor, "import_module", missing)
    monkeypatch.setattr(checks, "PIPELINE", (checks.secret,))
    machine, secret = doctor._run(Settings(home=tmp_path))
    assert (machine.check, machine.outcome) == ("machine", "skipped")
    assert "psutil is missing; `pip install 'opoi[local]'`" in machine.message
    assert secret.check == "secret"
