"""`opoi up`, `down`, `status`, `logs`, `reset`: the one-machine stack."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from local_stack import stack
from local_stack.home import Home
from local_stack.progress import progress
from local_stack.status import Status, log_of
from local_stack.status import status as current
from local_stack.supervise import EXIT_MINUTES, log_file, tail
from streams.cli.output import AsJson, echo, echo_json, echo_text, table
from streams.errors import UserError
from streams.settings import Settings, load_settings
from streams.visible import visible

MEBIBYTE = 1024 * 1024


def _home() -> tuple[Home, Settings]:
    settings = load_settings()
    return Home(settings.home), settings


def up(
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Start the stages of the pipeline.")
    ] = True,
    port_base: Annotated[
        int | None, typer.Option(help="First of the ports to use, instead of the usual ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start everything on this machine, and wait until it is ready.

    Example usage: opoi up
    """
    home, _ = _home()
    with progress() as shown:
        started = stack.up(home, shown, workers=workers, port_base=port_base)
    found = current(home, started.settings)
    if as_json:
        echo_json(found.as_dict())
        return
    verb = "is up" if started.was_running else f"is up after {started.seconds:.0f} s"
    echo(f"The stack at {found.home} {verb}.")
    echo_text(_places(started.settings))
    echo("Next: `opoi status`, `opoi doctor`, `opoi down`.")


def down() -> None:
    """Stop everything on this machine; data stays.

    Example usage: opoi down
    """
    home, _ = _home()
    with progress() as shown:
        ran = stack.down(home, shown)
    echo(f"The stack at {home.folder} {'is down' if ran else 'was not running'}.")


def status(as_json: AsJson = False) -> None:
    """Show processes, ports, memory and disk. A worker's port serves its metrics (`/metrics`).

    Example usage: opoi status
    """
    home, settings = _home()
    found = current(home, settings)
    if as_json:
        echo_json(found.as_dict())
        return
    echo_text(describe(found))


def logs(
    name: Annotated[str, typer.Argument(help="A process in `opoi status`, or supervisor.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, max=1_000_000, help="Number of last lines.")
    ] = 100,
) -> None:
    """Show the log of one process.

    Example usage: opoi logs join -f
    """
    home, _ = _home()
    log: Path = log_of(home, name)
    for line in tail(log, lines):
        echo_text(line)
    if follow:
        try:
            _follow(log)
        except KeyboardInterrupt:
            raise typer.Exit from None


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop everything, and delete all data of this stack.

    Example usage: opoi reset --yes
    """
    home, _ = _home()
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"this deletes all data in {home.folder}: confirm with --yes")
        size = sum(home.sizes().values()) / MEBIBYTE
        typer.confirm(visible(f"Delete all data in {home.folder} ({size:.0f} MiB)?"), abort=True)
    with progress() as shown:
        stack.reset(home, shown)
    echo(f"All data in {home.folder} is deleted.")


def describe(found: Status) -> str:
    """A status as text."""
    if not found.running:
        head = f"The stack at {found.home} is not running; start it with `opoi up`."
    else:
        head = f"The stack at {found.home} is running and uses {found.memory / MEBIBYTE:.0f} MiB of memory."
    rows = [
        (
            process.name,
            process.state,
            process.pid,
            _duration(process.uptime_seconds) if process.pid else None,
            f"{process.memory / MEBIBYTE:.0f} MiB" if process.pid else None,
            process.port,
            process.exits or None,
        )
        for process in found.processes
    ]
    parts = [head]
    if rows:
        parts.append(
            table(["process", "state", "pid", "up", "memory", "port", f"exits in {EXIT_MINUTES} min"], rows)
        )
    if found.away:
        parts.append(f"Unreachable; replays wait for: {', '.join(found.away)} (`opoi logs replay` says why)")
    if found.disk:
        disk = ", ".join(
            f"{name} {size / MEBIBYTE:.0f}" for name, size in found.disk.items() if size >= MEBIBYTE
        )
        parts.append(f"Disk: {sum(found.disk.values()) / MEBIBYTE:.0f} MiB" + (f" ({disk})" if disk else ""))
    return "\n\n".join(parts)


def _places(settings: Settings) -> str:
    rows = [
        ("Kafka", settings.kafka.bootstrap_servers),
        ("schema registry", settings.registry.url),
        ("ClickHouse", f"{settings.clickhouse.url} (database {settings.clickhouse.database})"),
        ("model", f"{settings.model.base_url or 'Google'} ({settings.model.name})"),
        ("ads platform", settings.ads.graph_url),
    ]
    return "\n".join(f"  {name:<16} {place}" for name, place in rows)


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _follow(log: Path) -> None:
    """Print new lines of `log`, over rotations, until interrupted."""
    file = log_file(log)
    file.seek(0, 2)
    while True:
        line = file.readline()
        if line:
            echo_text(line, end="")
            continue
        time.sleep(0.2)
        if log.exists() and log.stat().st_ino != os.fstat(file.fileno()).st_ino:
            file.close()
            file = log_file(log)
