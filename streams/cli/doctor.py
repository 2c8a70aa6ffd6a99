"""`opoi doctor`: what is wrong, and what to do."""

import typer

from streams.cli.output import AsJson, echo_json
from streams.local.checks import run
from streams.settings import load_settings

FAULT_FOUND = 3


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong and what to do; exit code 3 where something is.

    Example usage: opoi doctor
    """
    findings = run(load_settings())
    faults = [finding for finding in findings if finding.outcome == "fault"]
    if as_json:
        echo_json(findings)
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{finding.outcome:<7}  {finding.check:<{width}}  {finding.message}{remedy}")
        typer.echo(f"\n{len(faults)} faults found." if faults else "\nNothing is wrong.")
    if faults:
        raise typer.Exit(FAULT_FOUND)
