"""`opoi doctor`: what is wrong, and what to do."""

from importlib import import_module

import typer

from streams.cli.output import AsJson, echo, echo_json
from streams.health import checks
from streams.settings import Settings, load_settings

FAULT_FOUND = 3
ONE_MACHINE = "local_stack.checks"


def doctor(as_json: AsJson = False) -> None:
    """Report faults and what to do about them; exit code 3 if there is one.

    Example usage: opoi doctor
    """
    findings = _run(load_settings())
    faults = [finding for finding in findings if finding.outcome == "fault"]
    if as_json:
        echo_json(findings)
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            echo(f"{finding.outcome:<7}  {finding.check:<{width}}  {finding.message}{remedy}")
        echo("")
        echo(f"{len(faults)} faults found." if faults else "No faults found.")
    if faults:
        raise typer.Exit(FAULT_FOUND)


def _run(settings: Settings) -> list[checks.Finding]:
    """The checks of one machine and of the pipeline; only the pipeline's if the extra is missing."""
    try:
        found: list[checks.Finding] = import_module(ONE_MACHINE).run(settings)
    except ModuleNotFoundError as error:
        why = f"not checked: {error.name} is missing; `pip install 'opoi[local]'` installs it"
        found = [checks.skipped("machine", why), *checks.run(settings)]
    return found
