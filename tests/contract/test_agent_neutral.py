"""The pipeline knows no agent: what the reference agent talks about stands in none of its files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = re.compile(
    r"campaign|\broas\b|\bcpa\b|media.?buy|\bad.?sets?\b|insights|daily_budget|impressions|\bads\b|advertis"
    r"|facebook|marketing.api|support.?refund",
    re.IGNORECASE,
)
FOLDERS = ("streams", "schemas", "sinks")
KINDS = {".py", ".sql", ".avsc", ".yaml"}
# commands and settings that name the reference agent as the example
NOT_THE_PIPELINE = {
    "streams/cli/agent.py",
    "streams/cli/agent_http.py",
    "streams/settings.py",
}
AN_EXAMPLE = "What it acts on, e.g. a campaign id"
A_MODULE = "model_runs.daily_budget"


def pipeline_files() -> Iterator[Path]:
    """Every file of the pipeline that is not an example."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            place = file.relative_to(ROOT)
            outside = any(str(one) in NOT_THE_PIPELINE for one in (place, *place.parents))
            if file.suffix in KINDS and not outside and "examples" not in place.parts:
                yield place


def test_the_search_finds_the_words_where_they_are() -> None:
    assert WORDS.search((ROOT / "local_stack/demo/feed.py").read_text())
    assert WORDS.search((ROOT / "agent/media_buyer/spec.yaml").read_text())
    assert len(list(pipeline_files())) > 150


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_in_the_pipeline_knows_what_an_agent_does(folder: str) -> None:
    found = {
        str(place): sorted(set(words))
        for place in pipeline_files()
        if place.parts[0] == folder
        and (
            words := WORDS.findall(
                (ROOT / place).read_text(encoding="utf-8").replace(AN_EXAMPLE, "").replace(A_MODULE, "")
            )
        )
    }
    assert not found
