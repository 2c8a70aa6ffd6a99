"""An agent read from its folder is whole, or the text says what is missing."""

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from agent.load import read_definition
from agent.media_buyer.definition import media_buyer
from agent.spec import AgentSpec, SpecError

MEDIA_BUYER = Path(str(files("agent.media_buyer")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the media buyer's folder."""
    shutil.copytree(MEDIA_BUYER, tmp_path / "agent")
    return tmp_path / "agent"


def test_the_folder_of_the_media_buyer_is_the_media_buyer() -> None:
    read, built_in = read_definition(MEDIA_BUYER), media_buyer()

    assert (read.spec.spec_id, read.prompt_id, read.toolset_id) == (
        built_in.spec.spec_id,
        built_in.prompt_id,
        built_in.toolset_id,
    )


def test_a_prompt_may_be_one_file(folder: Path) -> None:
    shutil.rmtree(folder / "prompt")
    (folder / "prompt.md").write_text("Decide.")

    assert read_definition(folder).system_prompt == "Decide."


def test_the_parts_of_a_prompt_are_joined_by_name(folder: Path) -> None:
    for part in (folder / "prompt").iterdir():
        part.unlink()
    for name in ("2_b.md", "1_a.md", "notes.txt"):
        (folder / "prompt" / name).write_text(name)

    assert read_definition(folder).system_prompt == "1_a.md\n2_b.md"


def no_prompt(folder: Path) -> None:
    shutil.rmtree(folder / "prompt")


def empty_prompt(folder: Path) -> None:
    for part in (folder / "prompt").iterdir():
        part.unlink()


def broken_toolset(folder: Path) -> None:
    (folder / "toolset.json").write_text("{")


def toolset_without_names(folder: Path) -> None:
    (folder / "toolset.json").write_text('[{"description": "?"}]')


def one_tool_less(folder: Path) -> None:
    declared = json.loads((folder / "toolset.json").read_text())
    (folder / "toolset.json").write_text(json.dumps(declared[1:]))


def no_text(folder: Path) -> None:
    (folder / "spec.yaml").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_prompt, r"prompt.md cannot be read: No such file"),
        (empty_prompt, r"prompt holds no .md file"),
        (broken_toolset, r"toolset.json must be a JSON list of function declarations"),
        (toolset_without_names, r"toolset.json must be a JSON list of function declarations"),
        (one_tool_less, r"both must name the same tools"),
        (no_text, r"spec.yaml cannot be read"),
    ],
)
def test_what_is_missing_is_named(folder: Path, damage: object, said: str) -> None:
    assert callable(damage)
    damage(folder)

    with pytest.raises(SpecError, match=said):
        read_definition(folder)


@pytest.mark.parametrize("name", ["../../elsewhere", "..", "/tmp/elsewhere", ".hidden", "a\0b", "a\x1b[2J"])
def test_a_sub_agent_whose_name_leads_elsewhere_is_not_read(folder: Path, name: str) -> None:
    elsewhere = folder.parent / "elsewhere"
    shutil.copytree(folder / "sub_agents" / "delivery_analyst", elsewhere)
    spec = (folder / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(spec.replace("  delivery_analyst:\n", f"  {json.dumps(name)}:\n"))
    with pytest.raises(SpecError, match=f"sub-agent {re.escape(repr(name))} must be 1 to 200 bytes"):
        read_definition(folder)


@pytest.mark.parametrize("name", ["..", "a/b", "", "x" * 201, "a\nb", "a\u202eb"])
def test_an_agent_whose_name_leads_elsewhere_is_no_agent(name: str) -> None:
    given = json.loads(media_buyer().spec.content())
    with pytest.raises(SpecError, match=r"(?s)name\n.*must be 1 to 200 bytes of printable characters"):
        AgentSpec.of({**given, "name": name})
    with pytest.raises(SpecError, match="must be 1 to 200 bytes of printable characters"):
        AgentSpec.of({**given, "sub_agents": {name: next(iter(given["sub_agents"].values()))}})
