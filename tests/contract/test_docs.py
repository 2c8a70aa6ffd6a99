"""The docs say what is there: links lead somewhere, commands and queries exist and are described."""

import re
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import pytest
import yaml

from agent.as_of import recorded_calls
from agent.load import exported
from examples.support_refund.production import support_refund
from schemas.records import AgentDecision
from scripts import docs
from sinks import metrics as sink_metrics
from sinks.named_queries import named_queries
from streams.cli.main import COMMANDS
from streams.gates.reason_codes import REASONS, ReasonCode
from streams.runtime import metrics
from streams.runtime.exit_codes import ExitCode
from streams.runtime.model_runs import metrics as replay_metrics
from streams.settings import Settings
from streams.settings_errors import fields_of, variable_of
from streams.stages import STAGES
from streams.stages.ticker.worker import LAST_TICK
from streams.stages.trigger import next_action

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "clients").glob("*/README.md")]
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SOURCES = (
    "agent",
    "bench",
    "clients",
    "examples",
    "local_stack",
    "schemas",
    "scripts",
    "sinks",
    "streams",
    "testkit",
    "tests",
)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\bopoi ([a-z]+)(?: ([a-z_]+))?\b")
SAID = re.compile(r"(?:`|Example usage: |^- )opoi ([a-z]+)(?: ([a-z_]+))?", re.MULTILINE)
"""A command as messages, docstrings and the topics' producers and consumers name it."""
MAKE = re.compile(r"(?:`|^\$ )make ([a-z-]+)", re.MULTILINE)
MODULE = re.compile(r"python(?: -P)? -m ([a-z_]+(?:\.[a-z_]+)*)")
FENCED = re.compile(r"```.*?```", re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
# the examples of operations.md need a broker: tests/broker/test_sink.py runs them
WITH_EXAMPLES = [page for page in PAGES if page.name != "operations.md" and EXAMPLE.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [
        link for link in LINK.findall(FENCED.sub("", page.read_text())) if not (page.parent / link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_code_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text())
    code += re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)

    assert wrong_commands(COMMAND, "\n".join(code)) == set()
    # a change log names what was there before, too
    assert page.name == "CHANGELOG.md" or wrong_targets(page.read_text()) == set()


@pytest.mark.parametrize("folder", SOURCES)
def test_commands_that_sources_name_exist(folder: str) -> None:
    files = [path for ending in ("py", "yaml", "sql") for path in (ROOT / folder).rglob(f"*.{ending}")]
    texts = {path: path.read_text() for path in files if path != Path(__file__)}

    assert files
    assert {path: wrong for path, text in texts.items() if (wrong := wrong_commands(SAID, text))} == {}
    assert {path: wrong for path, text in texts.items() if (wrong := wrong_targets(text))} == {}


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert wrong_commands(SAID, "run `opoi mend`, `opoi replay halt` or `opoi replay pause`") == {
        "opoi mend",
        "opoi replay halt",
    }
    assert wrong_commands(SAID, "`opoi sql funnel`, `opoi sql tunnel`, `opoi worker join`") == {
        "opoi sql tunnel"
    }
    assert wrong_commands(SAID, "`opoi sql dead_letters`, `opoi sql dead_letter`") == {"opoi sql dead_letter"}
    assert wrong_targets("`make golden` or `python -m schemas.make`, `make test`") == {
        "make golden",
        "python -m schemas.make",
    }


def wrong_commands(pattern: re.Pattern[str], text: str) -> set[str]:
    """Commands in `text` that `opoi` lacks, or whose verb it lacks."""
    found = {(name, verb) for name, verb in pattern.findall(text)}
    return {f"opoi {name} {verb}".strip() for name, verb in found if not is_command(name, verb)}


def is_command(name: str, verb: str) -> bool:
    """Whether there is such a command; the verb may be missing."""
    if name not in COMMANDS:
        return False
    if name == "sql":
        return not verb or verb in named_queries()
    verbs = getattr(COMMANDS[name].load(name), "commands", None)
    return not verb or verbs is None or verb in verbs


def wrong_targets(text: str) -> set[str]:
    """Make targets and modules of ours that `text` says to run and that there are not."""
    made = {f"make {name}" for name in MAKE.findall(text) if name not in TARGETS}
    ours = {name for name in MODULE.findall(text) if name.partition(".")[0] in SOURCES}
    return made | {f"python -m {name}" for name in ours if not is_module(name)}


def is_module(name: str) -> bool:
    """Whether `python -m name` finds something to run."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_examples_in_python_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agent.json").write_text(exported(support_refund()))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    for code in EXAMPLE.findall(page.read_text()):
        exec(compile(code, page.name, "exec"), found)
    decision = AgentDecision.model_validate_json(found["decision"].to_json())
    assert decision.action.name == "escalate"
    assert [one.tool for one in recorded_calls(decision)] == ["get_order"]
    assert [one.tool for one in decision.snapshot] == ["get_order"]


def test_the_clients_examples_are_run() -> None:
    assert {page.name for page in WITH_EXAMPLES} == {"README.md", "for-agent-teams.md"}


def test_every_command_is_described_in_the_docs() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert not [name for name in COMMANDS if f"opoi {name}" not in text]


def test_every_named_query_is_described_for_analysts() -> None:
    text = (ROOT / "docs" / "for-analysts.md").read_text()
    for query in named_queries().values():
        assert f"| `{query.name}` | {query.about} |" in text, "run `make generate`"


def test_every_exit_code_and_stage_is_described() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    codes = [code.value for code in ExitCode if f"| {code.value} |" not in operations]
    assert not codes, f"add a row for {codes} to the exit codes in docs/operations.md"
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    undescribed = [stage for stage in STAGES if f"| `{stage}` |" not in architecture]
    assert not undescribed, f"add a row for {undescribed} to the stages in docs/architecture.md"


def test_the_made_parts_of_the_docs_are_those_of_the_code() -> None:
    stale = {path.name for path, text in docs.pages().items() if path.read_text() != text}
    assert stale == set(), "run `make generate`"
    rows = docs.metrics_table((docs.DOCS / "operations.md").read_text())
    assert docs.TODO not in rows, "docs/operations.md: write what to do in place of TODO"


def test_every_metric_is_found_with_its_kind_and_labels() -> None:
    found = {one.name: one for one in docs.metrics()}
    for one in (metrics.EXITS, sink_metrics.INSERT_SECONDS, replay_metrics.PAUSED, LAST_TICK):
        [family] = one.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert (found[name].kind, found[name].about) == (family.type, family.documentation)
    assert found["opoi_worker_exits_total"].labels == ("stage", "reason")


def test_a_new_metric_waits_for_its_remedy_and_an_old_one_keeps_it() -> None:
    before = "| `opoi_events_total` | counter | | old text | look here |\n"
    rows = {line.split("`")[1]: line for line in docs.metrics_table(before).splitlines()[2:]}
    assert rows["opoi_events_total"].endswith("| Records that a stage finished. | look here |")
    assert rows["opoi_ticks_total"].endswith(f"| {docs.TODO} |")


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for path, field in fields_of(Settings):
        assert f"| `{variable_of(path)}` |" in text, "run `make generate`"
        assert field.description, f"write a docstring below the field of {variable_of(path)}"


def test_every_gate_and_reason_code_is_described() -> None:
    text = (ROOT / "docs" / "gates.md").read_text()
    gates = {resolve_name(f"streams.gates.{path.stem}") for path in (ROOT / "streams/gates").glob("*.py")}
    names = {module.NAME for module in gates if hasattr(module, "NAME")}
    assert names >= {"intake", "structural_removal", "leak", "row_validity", "wrong_oracle_control"}
    silent = names - {one.gate for one in REASONS}
    assert not silent, f"add a Reason of {silent} to REASONS in streams/gates/reason_codes.py"
    rowless = [name for name in names if not re.search(rf"^\| [0-9-]+ \| `{name}` \|", text, re.MULTILINE)]
    assert not rowless, f"add a row for {rowless} to the table of gates in docs/gates.md"
    assert {one.code for one in REASONS} == {*get_args(ReasonCode)} - {"ok"}, (
        "streams/gates/reason_codes.py: a code is in ReasonCode and has a Reason in REASONS"
    )
    for one in REASONS:
        assert f"| `{one.gate}` | `{one.code}` | {one.meaning} |" in text, "run `make generate`"


def test_every_stop_reason_is_described() -> None:
    said = (next_action.next_action.__doc__ or "").partition("Stop reasons:")[2]
    reasons = set(re.findall(r"`(\w+)`", said))
    assert {"version_skew", "budget_day"} <= reasons
    text = (ROOT / "docs" / "operations.md").read_text()
    undescribed = [reason for reason in reasons if f"`{reason}`" not in text]
    assert not undescribed, f"add {undescribed} to the values of cases.stop_reason in docs/operations.md"


def test_hooks_run_what_is_installed_and_fetch_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["id"] for hook in hooks} == {"ruff", "ruff-format", "generated"}
    for hook in hooks:
        assert hook["entry"].startswith(".venv/bin/ruff ") or hook["entry"].removeprefix("make ") in TARGETS


def test_every_link_to_the_glossary_finds_a_sorted_list() -> None:
    terms = re.findall(r"^\*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.casefold)
    for page in ("README.md", "docs/architecture.md"):
        assert "glossary.md)" in (ROOT / page).read_text()
