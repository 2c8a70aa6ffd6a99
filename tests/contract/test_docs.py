"""The docs say what is there: links lead somewhere, commands and queries exist and are described."""

import re
from pathlib import Path
from typing import Any

import pytest

from agent.as_of import recorded_calls
from agent.definition import exported
from examples.support_refund.production import support_refund
from schemas.records import AgentDecision
from sinks.named_queries import named_queries
from streams.cli.main import COMMANDS
from streams.runtime.exit_codes import ExitCode
from streams.stages import STAGES

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "clients").glob("*/README.md")]
)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\bopoi ([a-z]+)\b")
SAID = re.compile(r"(?:`|Example usage: |^- )opoi ([a-z]+)\b", re.MULTILINE)
"""A command as messages, docstrings and the topics' producers and consumers name it."""
FENCED = re.compile(r"```.*?```", re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


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
    assert {name for text in code for name in COMMAND.findall(text)} <= set(COMMANDS)


@pytest.mark.parametrize("folder", ["agent", "bench", "clients", "examples", "schemas", "sinks", "streams"])
def test_commands_that_sources_name_exist(folder: str) -> None:
    files = [path for ending in ("py", "yaml") for path in (ROOT / folder).rglob(f"*.{ending}")]
    named = {(name, path.name) for path in files for name in SAID.findall(path.read_text())}
    assert files
    assert not {(name, path) for name, path in named if name not in COMMANDS}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if EXAMPLE.search(page.read_text())], ids=lambda page: page.name
)
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
    with_examples = {page.name for page in PAGES if EXAMPLE.search(page.read_text())}
    assert with_examples == {"README.md", "for-agent-teams.md"}


def test_every_command_is_described_in_the_docs() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert not [name for name in COMMANDS if f"opoi {name}" not in text]


def test_every_named_query_is_described_for_analysts() -> None:
    text = (ROOT / "docs" / "for-analysts.md").read_text()
    for query in named_queries().values():
        assert f"| `{query.name}` | {query.about} |" in text


def test_every_exit_code_and_stage_is_described() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert not [code for code in ExitCode if f"| {code.value} |" not in operations]
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    assert not [stage for stage in STAGES if f"`{stage}`" not in architecture]
