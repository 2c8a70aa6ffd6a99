"""What a new stage takes: its folder, its schemas, an entry, and two lines; all else knows it by these."""

import json
import re
import shutil
import subprocess
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from local_stack import orphans
from schemas.catalog import topics
from schemas.identity import decision_key
from schemas.records import AgentDecision
from schemas.registry import make_codec
from streams.settings import Settings, load_settings
from streams.stages import STAGES
from testkit.builders import action, decision
from testkit.running_stack import environment, free_base

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy_stage"
LINE = '    "toy": "streams.stages.toy.worker:run",\n'
ROW = "| `toy` | Faust, a table by decision | what waits | echoes decisions, those to hold after a wait |\n"
REASONS = {"same_id": "duplicate", "awaiting_echo": "pending", "at_once": "emitted", "waited": "emitted"}
"""Reasons of its dispositions, with the outcome of each."""
GENERATED = ("sinks/migrations/", "tests/golden/")
PATIENCE_SECONDS = 120
CONTRACTS = "from importlinter.cli import lint_imports_command as run; run()"
TOLD = (
    "tests/contract/test_catalog.py",
    "tests/contract/test_dispositions.py",
    "tests/contract/test_docs.py",
    "tests/contract/test_golden_bytes.py",
    "tests/contract/test_stages.py",
    "tests/unit/local_stack/test_child_environment.py",
    "tests/unit/sinks/test_rows.py",
    "tests/unit/stages/ticker",
)
"""Tests that know stages, topics and tables."""


GOLDEN = ("tests.contract.golden_rows", "tests.contract.golden")


@dataclass(frozen=True)
class Copy:
    """A copy of the checkout with a Python of its own that imports the copy, whoever starts it."""

    folder: Path
    python: Path
    home: Path

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """One call of Python in the copy, which may fail."""
        return subprocess.run(
            [str(self.python), "-P", *words],
            cwd=self.folder,
            env={**environment(self.home), **variables},
            capture_output=True,
            text=True,
        )

    def done(self, *words: str, **variables: str) -> str:
        """What a call says that does not fail."""
        ran = self.run(*words, **variables)
        assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-6000:]
        return ran.stdout

    def opoi(self, *words: str, **variables: str) -> str:
        """One call of the command line."""
        return self.done("-m", "streams.cli.main", *words, **variables)

    def said(self, *words: str) -> Any:
        """What a call of the command line says as JSON."""
        return json.loads(self.opoi(*words, "--json"))

    def git(self, *words: str) -> str:
        """What git says of the copy."""
        return git(self.folder, *words)


def git(folder: Path, *words: str) -> str:
    """What git says."""
    ran = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def put_after(path: Path, begins: str, line: str) -> None:
    """Adds a line after the only one that begins so."""
    lines = path.read_text().splitlines(keepends=True)
    [place] = [number for number, one in enumerate(lines, 1) if one.startswith(begins)]
    path.write_text("".join([*lines[:place], line, *lines[place:]]))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The checkout as it is, noted in git, and then the toy stage in it."""
    base = tmp_path_factory.mktemp("toy")
    folder, environment = base / "copy", base / "venv"
    # without tags: whether this version is released already is of no interest here
    git(base, "clone", "--quiet", "--shared", "--no-checkout", "--no-tags", str(ROOT), str(folder))
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "add", "--all")

    venv.create(environment, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # a folder that is named here is no site of its own: what it says of where opoi lies is not read
    Path(packages, "copy.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")

    for part in ("schemas", "streams"):
        shutil.copytree(TOY / part, folder / part, dirs_exist_ok=True)
    with (folder / "schemas" / "stages.yaml").open("a") as listed:
        listed.write((TOY / "entry.yaml").read_text())
    last = list(STAGES)[-1]
    put_after(folder / "streams" / "stages" / "__init__.py", f'    "{last}": ', LINE)
    put_after(folder / "docs" / "architecture.md", f"| `{last}` |", ROW)

    reasons = folder / "schemas" / "disposition_reasons.py"
    for code, outcome in REASONS.items():
        put_after(reasons, "OwnReason = Literal[", f'    "{code}",\n')
        put_after(reasons, "REASONS: ", f'    Reason("{code}", ("{outcome}",), "Of the toy stage."),\n')

    made = Copy(folder, environment / "bin" / "python", base / "home")
    for generator in (
        "schemas.generate",
        "sinks.generate",
        "scripts.docs",
        "tests.contract.golden_rows",
        "tests.contract.golden",
    ):
        made.done("-m", generator)
    return made


def test_a_stage_is_its_folder_its_schemas_and_two_lines(copy: Copy) -> None:
    changed = {
        path: int(added) + int(removed)
        for added, removed, path in (one.split("\t") for one in copy.git("diff", "--numstat").splitlines())
    }
    new = copy.git("ls-files", "--others", "--exclude-standard").splitlines()
    apart = ("schemas/", "streams/stages/toy/", *GENERATED)

    assert [path for path in new if not path.startswith(apart)] == []
    assert {path: lines for path, lines in changed.items() if not path.startswith(apart)} == {
        "docs/architecture.md": 1,
        # generated
        "docs/dispositions.md": len(REASONS),
        "streams/stages/__init__.py": 1,
    }
    # what earlier releases wrote and what installations have applied stays
    assert [path for path in changed if path.startswith(GENERATED)] == []
    assert {path for path in new if path.startswith("streams/")} == {
        f"streams/stages/toy/{name}.py" for name in ("__init__", "step", "worker")
    }


def test_it_passes_the_checks(copy: Copy) -> None:
    where = "import schemas, sinks, streams; print(schemas.__file__, sinks.__file__, streams.__file__)"
    assert {Path(path).parents[1] for path in copy.done("-c", where).split()} == {copy.folder}
    copy.done("-m", "schemas.generate", "--check")
    copy.done("-m", "sinks.generate", "--check")
    copy.opoi("schemas", "check")
    copy.done("-m", "pytest", "-q", "-p", "no:cacheprovider", *TOLD)


def test_the_contracts_of_imports_hold_for_it_too(copy: Copy) -> None:
    copy.done("-c", CONTRACTS)
    step = copy.folder / "streams" / "stages" / "toy" / "step.py"
    clean = step.read_text()
    try:
        step.write_text(f"import faust\nimport streams.stages.join.split\n{clean}")
        broken = copy.run("-c", CONTRACTS)
    finally:
        step.write_text(clean)
    assert broken.returncode == 1
    assert "stages do not import one another BROKEN" in broken.stdout
    assert "know no Kafka, Faust, ClickHouse or model BROKEN" in broken.stdout


@pytest.fixture(scope="module")
def settings(copy: Copy) -> Iterator[Settings]:
    """Those of the copy's stack, which runs."""
    try:
        copy.opoi("up", "--port-base", str(free_base()), OPOI_PIPELINE__TICK_SECONDS="1")
        yield load_settings(copy.home)
        copy.opoi("down")
    finally:
        orphans.end(copy.home)


def send(settings: Settings, *records: tuple[str, bytes]) -> None:
    """Decisions (key, value), one after the other, as any other program sends them."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    for key, value in records:
        producer.produce("agent.decisions", value, key)
        assert producer.flush(60) == 0


def record(settings: Settings, of: AgentDecision, key: str = "") -> tuple[str, bytes]:
    """A decision under its key, or another."""
    value = make_codec(settings).encode("agent.decisions", of)
    return key or decision_key(of.agent, of.decision_id), value


def account(copy: Copy) -> dict[str, int]:
    """What became of the stage's inputs, by `opoi sql conservation`; counts of 0 left out."""
    rows = [row for row in copy.said("sql", "conservation") if row["stage"] == "toy"]
    return {name: count for row in rows for name, count in row.items() if isinstance(count, int) and count}


def asked(copy: Copy, sql: str) -> list[tuple[Any, ...]]:
    """Rows of ClickHouse."""
    return [tuple(row.values()) for row in copy.said("sql", "-q", sql)]


def test_it_runs_on_a_stack_like_any_other_stage(copy: Copy, settings: Settings) -> None:
    first, held = decision("first", action("pause")), decision("held", action("hold"))
    good = record(settings, first)
    undecodable = (good[0], b"\xff\xfe no record")
    misplaced = record(settings, decision("misplaced"), good[0])
    send(settings, good, record(settings, held), good, undecodable, misplaced)
    send(settings, record(settings, decision("last", action("pause"))))

    # everything is accounted for: landed, processed, its deadline fired
    wanted = {"inputs": 6, "emitted": 3, "duplicate": 1, "dead": 2}
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := account(copy)) != wanted:
        assert time.monotonic() < end, f"{found}\n{copy.opoi('logs', 'toy', '-n', '40')}"
        time.sleep(1)

    assert asked(copy, "SELECT decision_id, reason FROM echoes ORDER BY echoed_at") == [
        ("first", "at_once"),
        ("last", "at_once"),
        ("held", "waited"),
    ]
    of_each = "SELECT id, outcome, reason FROM dispositions_raw WHERE stage = 'toy' ORDER BY ALL"
    assert asked(copy, of_each) == [
        ("first", "duplicate", "same_id"),
        ("first", "emitted", "at_once"),
        ("held", "emitted", "waited"),
        ("held", "pending", "awaiting_echo"),
        ("last", "emitted", "at_once"),
        (None, "dead", "not_framed"),
        (None, "dead", "wrong_key"),
    ]
    letters = "SELECT error_type, topic, hex(value) FROM dead_letters WHERE stage = 'toy' ORDER BY error_type"
    assert asked(copy, letters) == [
        ("not_framed", "agent.decisions", undecodable[1].hex().upper()),
        ("wrong_key", "agent.decisions", misplaced[1].hex().upper()),
    ]
    assert copy.said("sql", "missing", "--param", "grace_seconds=0") == []

    # and it is seen
    [process] = [one for one in copy.said("status")["processes"] if one["name"] == "toy"]
    assert (process["state"], process["port"], process["exits"]) == (
        "running",
        settings.local.metrics_port + 6,
        0,
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{process['port']}/metrics", timeout=30) as answer:
        served = dict(re.findall(r"^(opoi_\w+\{[^}]*\}) (\S+)$", answer.read().decode(), re.MULTILINE))
    assert served['opoi_events_total{stage="toy",topic="agent.decisions"}'] == "6.0", served
    assert served['opoi_dead_letters_total{kind="not_framed",stage="toy"}'] == "1.0", served
    assert served['opoi_deadlines_total{stage="toy"}'] == "1.0", served
    findings = {one["check"]: one for one in copy.said("doctor")}
    assert {one["outcome"] for one in findings.values()} == {"ok"}, findings
    assert re.search(r"\btoy\b", findings["workers"]["message"])
    # the output, and what a keyed stage has because it is one
    assert f"all {len(topics()) + 4} " in findings["topics"]["message"]
