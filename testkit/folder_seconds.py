"""Prints the seconds of each folder of tests; `--folder-seconds FILE` fails a run that is over a budget.

A line of FILE is a folder and its budget in seconds, with a tab between them; set-up and clean-up count, and
those of parallel processes add up. Loaded by pyproject.toml.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

KEY = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    about = (
        "budgets of the folders in seconds, a tab-separated line each; a folder over its budget fails the run"
    )
    parser.addoption("--folder-seconds", type=Path, metavar="FILE", help=about)


def seconds_by_folder(reports: Iterable[object]) -> dict[str, float]:
    """Seconds of the test reports among `reports`, by the first two folders of their files."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        if isinstance(report, pytest.TestReport):
            seconds["/".join(report.nodeid.split("/")[:2])] += report.duration
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def over_budget(seconds: Mapping[str, float], budgets: Mapping[str, float]) -> list[str]:
    """A line for each folder that took longer than its budget or has none."""
    found = []
    for folder, spent in sorted(seconds.items()):
        if (budget := budgets.get(folder)) is None:
            found.append(f"{folder} has no budget: it took {spent:.1f} s")
        elif spent > budget:
            found.append(f"{folder} took {spent:.1f} s, its budget is {budget:.1f} s")
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Decides before the summary, which prints the result."""
    config = session.config
    path: Path | None = config.getoption("--folder-seconds")
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if path is None or reporter is None or hasattr(config, "workerinput"):
        return
    lines = (line.split("\t") for line in path.read_text().splitlines())
    budgets = {folder: float(budget) for folder, budget in lines}
    found = over_budget(seconds_by_folder(_reports(reporter)), budgets)
    config.stash[KEY] = [f"{line} ({path})" for line in found]
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Seconds of each folder, and what is over its budget."""
    terminalreporter.section("seconds by folder")
    for folder, spent in seconds_by_folder(_reports(terminalreporter)).items():
        terminalreporter.write_line(f"{spent:8.1f}  {folder}")
    for line in config.stash.get(KEY, []):
        terminalreporter.write_line(f"OVER BUDGET: {line}", red=True)


def _reports(reporter: pytest.TerminalReporter) -> Iterable[object]:
    return (one for reports in reporter.stats.values() for one in reports)
