"""The docs say what is there: links lead somewhere, commands and queries exist and are described."""

import re
from pathlib import Path

import pytest

from sinks.named_queries import named_queries
from streams.cli.main import COMMANDS
from streams.cli.worker import STAGES
from streams.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\bopoi ([a-z]+)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_code_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text())
    code += re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    assert {name for text in code for name in COMMAND.findall(text)} <= set(COMMANDS)


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
