"""`schemas/stages.yaml` is the one list of stages, and all else follows from it."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml

from local_stack.processes import metrics_ports
from schemas import generate
from schemas.catalog import TOPICS, TopicSpec, topics
from schemas.errors import CatalogError
from schemas.settings import KafkaSettings
from schemas.stage_topics import left_over, topic_files
from schemas.stages import (
    DEAD_LETTERS,
    METRICS_SLOTS,
    StageSpec,
    changelog_of,
    group_of,
    load,
    retry_of,
    stage,
    stages,
    ticks_of,
)
from sinks.tables import tables
from streams.faust_runner.run import topics_of
from streams.settings import LocalSettings
from streams.stages import STAGES
from streams.stages.join.step import Join
from streams.stages.replay.requests import REQUESTS
from streams.stages.sanitize.step import Sanitize
from streams.stages.trigger.step import Trigger

ROOT = Path(__file__).parents[2]
LISTED: list[dict[str, Any]] = yaml.safe_load(Path(ROOT / "schemas/stages.yaml").read_text())
DRIFT = {
    "name": "drift",
    "description": "Watches scores.",
    "sources": ["opoi.ood-scores"],
    "outputs": ["opoi.alerts"],
    "keyed": {"key": "agent", "state": "CaseState"},
    "metrics_slot": METRICS_SLOTS - 1,
}
KNOWN = ["join", "trigger", "replay", "sanitize", "sink", "ticker"]
"""Stages that running installations have."""


def with_drift(**changes: Any) -> dict[str, StageSpec]:
    """Our stages, and one more whose source has one partition."""
    return load([*LISTED, DRIFT | changes], topics())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the topics that may be written to."""
    return Path(shutil.copytree(TOPICS, tmp_path / "topics"))


# what is there already keeps its names and places


def test_names_stay_what_running_installations_know() -> None:
    assert [name for name in stages() if name in KNOWN] == KNOWN
    assert group_of("join") == "opoi-join"
    assert stage("join").inputs[2:] == ("opoi.retry.join", "opoi.ticks.join")
    assert stage("trigger").together[-1] == "opoi-trigger-state-changelog"
    assert {name for name in KNOWN if stage(name).keyed} == {"join", "trigger"}


def test_metrics_stay_where_dashboards_look_for_them() -> None:
    assert (
        metrics_ports(LocalSettings(metrics_port=19100)).items()
        >= {
            "ticker": 19100,
            "join": 19101,
            "trigger": 19102,
            "replay": 19103,
            "sanitize": 19104,
            "sink": 19105,
        }.items()
    )


# the code and the list are one


def test_every_stage_can_be_started() -> None:
    assert list(STAGES) == list(stages())
    for where in STAGES.values():
        assert callable(resolve_name(where))


def test_nothing_of_a_stage_is_imported_before_the_parent_forks() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import streams.cli.worker\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert "streams" in loaded.split()
    assert not {"faust", "confluent_kafka", "clickhouse_connect", "google", "yaml"} & set(loaded.split())


def test_a_step_reads_what_its_stage_does() -> None:
    for step in (Join, Trigger, Sanitize):
        assert step.sources == stage(step.stage).sources
    assert stage("replay").sources == (REQUESTS,)
    assert set(stage("sink").sources) == set(tables())


def test_no_module_has_a_list_of_its_own() -> None:
    packages = [ROOT / name for name in ("agent", "bench", "schemas", "sinks", "streams")]
    files = {file for package in packages for file in package.rglob("*.py")}
    found = {}
    for file in files - {ROOT / "streams/stages/__init__.py"}:
        for node in ast.walk(ast.parse(file.read_text())):
            held = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            texts = {each.value for each in held if isinstance(each, ast.Constant)} & set(stages())
            if len(texts) > 1:
                found[f"{file.relative_to(ROOT)}:{node.lineno}"] = texts

    assert found == {}


# what follows from the list


def test_the_topic_files_are_those_of_the_stages() -> None:
    wanted = topic_files(stages(), topics(), TOPICS)

    assert {path: path.read_text() for path in TOPICS.iterdir()} == wanted, "run `python -m schemas.generate`"


def test_topics_name_every_stage_that_writes_or_reads_them() -> None:
    for name, spec in topics().items():
        assert [each for each in spec.producers if each in stages()] == [
            each.name for each in stages().values() if name in each.writes
        ]
        assert [each for each in spec.consumers if each in stages()] == [
            each.name for each in stages().values() if name in each.reads
        ]
    assert topics()[DEAD_LETTERS].consumers == ("redrive", "sink")


def test_a_new_stage_gets_its_topics_and_its_place_in_those_of_others(folder: Path) -> None:
    added = with_drift()
    for path, text in topic_files(added, topics(), folder).items():
        path.write_text(text)

    def written(name: str) -> TopicSpec:
        return TopicSpec(name=name, **yaml.safe_load((folder / f"{name}.yaml").read_text()))

    # with one partition, as its source has
    for name in (retry_of("drift"), ticks_of("drift"), changelog_of("drift")):
        assert written(name).partitions == 1
    assert written(ticks_of("drift")).producers == ("ticker",)
    assert written(changelog_of("drift")).record == "CaseState"
    assert written(changelog_of("drift")).topic_config()["cleanup.policy"] == "compact"
    assert topics()[DEAD_LETTERS].producers[:5] == ("join", "trigger", "replay", "sanitize", "sink")
    assert written(DEAD_LETTERS).producers == (*topics()[DEAD_LETTERS].producers, "drift")
    assert written("opoi.dispositions").producers[-1] == "drift"
    assert written("opoi.alerts").producers == ("drift",)
    assert written("opoi.ood-scores").consumers == ("sink", "drift")
    untouched = {"opoi.reviews", "opoi.retry.join", "opoi.exports"}
    assert {name: written(name) for name in untouched} == {name: topics()[name] for name in untouched}
    # what is not ours is kept
    assert written("opoi.ood-scores").producers == ("score",)


def test_a_stage_that_goes_takes_its_topics_along(folder: Path) -> None:
    fewer = load([each for each in LISTED if each["name"] != "trigger"], topics())
    wanted = topic_files(fewer, topics(), folder)

    assert {path.name for path in left_over(wanted, folder)} == {
        "opoi.retry.trigger.yaml",
        "opoi.ticks.trigger.yaml",
        "opoi-trigger-state-changelog.yaml",
    }
    assert "trigger" not in yaml.safe_load(wanted[folder / "opoi.dispositions.yaml"])["producers"]


def test_lists_are_replaced_where_they_stand(folder: Path) -> None:
    path = folder / "opoi.alerts.yaml"
    path.write_text(path.read_text().replace("producers:\n- drift\n", "# who\nproducers: []\n"))

    text = topic_files(with_drift(), topics(), folder)[path]

    assert "\n# who\nproducers:\n- drift\nconsumers:\n- notify\n- sink\n" in text


def test_a_list_that_cannot_be_replaced_is_named(folder: Path) -> None:
    path = folder / "opoi.dispositions.yaml"
    path.write_text(path.read_text().replace("producers:\n- join\n", "producers: [\n  join]\nx:\n- join\n"))

    with pytest.raises(CatalogError, match=r"opoi\.dispositions\.yaml: producers cannot be replaced"):
        topic_files(stages(), topics(), folder)


def test_the_check_fails_until_the_files_are_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "TOPICS", folder)
    (folder / "opoi.retry.gone.yaml").write_text("")
    (folder / "opoi.retry.join.yaml").unlink()

    assert generate.main(["--check"]) == 3
    said = capsys.readouterr().err
    assert "opoi.retry.gone.yaml is stale" in said
    assert "opoi.retry.join.yaml is stale" in said
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert (folder / "opoi.retry.join.yaml").read_text() == (TOPICS / "opoi.retry.join.yaml").read_text()


# what must be co-partitioned


def test_a_keyed_stage_needs_one_partition_count_of_its_sources_alone() -> None:
    kafka = KafkaSettings(topic_names={"opoi.ood-scores": "company.scores"})
    needed = topics_of(with_drift()["drift"], kafka)

    assert needed.together == ("company.scores", "opoi.retry.drift", "opoi.ticks.drift")
    assert needed.changelog == "opoi-drift-state-changelog"
    assert needed.others == ("opoi.alerts", "opoi.dead-letters", "opoi.dispositions", "opoi.rejections")


def test_a_stage_without_memory_needs_what_it_declares() -> None:
    free = with_drift(keyed=None, sources=["opoi.ood-scores", "opoi.reviews"])["drift"]
    bound = with_drift(keyed=None, co_partitioned=["opoi.alerts"])["drift"]

    assert topics_of(free, KafkaSettings()).together == ()
    assert set(topics_of(free, KafkaSettings()).others) > {"opoi.ood-scores", "opoi.reviews", "opoi.alerts"}
    assert topics_of(bound, KafkaSettings()).together == ("opoi.alerts",)


# faults in the list


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "join"}, "name join is that of join and of join"),
        ({"name": "Drift"}, "name"),
        ({"metrics_slot": 5}, "metrics_slot 5 is that of sink and of drift"),
        ({"metrics_slot": 20}, "less than 20"),
        ({"sources": ["opoi.oodscores"]}, "stage drift: there is no topic opoi.oodscores"),
        ({"looks_up": ["nothing"]}, "stage drift: there is no topic nothing"),
        ({"sources": "opoi.ood-scores"}, "sources"),
        ({"sources": []}, "stage drift: it has no sources, so it can be neither keyed nor accounted"),
        ({"keyed": {"key": "agent", "state": "Nothing"}}, "stage drift: its state 'Nothing' has no schema"),
        ({"co_partitioned": ["opoi.cases"]}, "names opoi.cases, which is neither a source nor an output"),
        (
            {"sources": ["opoi.ood-scores", "opoi.reviews"]},
            "one partition count: opoi.ood-scores has 1, opoi.reviews has the common count",
        ),
        ({"speed": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_fault_in_the_list_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CatalogError) as raised:
        with_drift(**changes)

    assert "stages.yaml" in str(raised.value)
    assert says in str(raised.value)


@pytest.mark.parametrize("listed", [None, ["join"], [{}], {"join": {}}])
def test_what_is_no_list_of_stages_is_refused(listed: Any) -> None:
    with pytest.raises(CatalogError, match=r"stages\.yaml"):
        load(listed, topics())


def test_a_stage_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(CatalogError, match="no stage 'jion'; known: join, trigger"):
        stage("jion")
