"""How a worker process ends, and the one way to end it at once.

The supervisor restarts a worker after each of these; what it had not finished is read again from the
committed offset. Codes 1 and 2 are those of every command.
"""

import faulthandler
import os
import sys
import threading
from enum import IntEnum
from typing import Any, NoReturn

import structlog


class ExitCode(IntEnum):
    """Exit codes of workers."""

    REFUSED = 2
    """Wrong settings, topics or versions: nothing was read. A restart will not help by itself."""
    OWN_FAULT = 70
    """A step failed on a record, or its outputs broke its contract; counted against that record."""
    PRODUCE_FAILED = 71
    """The broker refused a record for good; nothing after the last commit is committed."""
    CONTIGUITY = 72
    """A record was about to be skipped; read again from the committed offset."""
    WATCHDOG = 73
    """No offset was committed for too long although records wait; stacks are in the log."""
    BREAKER = 74
    """Most records were refused: a bad deploy, not bad records."""
    DEAD_LETTER_REFUSED = 75
    """ClickHouse refuses a dead letter: the sink stops rather than write a dead letter about it."""
    EXPELLED = 76
    """The group gave the worker's partitions away while it stood still; its unsent work stays unsent."""


def end_with_threads() -> None:
    """From now on a thread that dies of an exception takes the process with it: nobody would miss it."""

    def died(given: threading.ExceptHookArgs) -> None:
        name = given.thread.name if given.thread else "?"
        fault = given.exc_value or given.exc_type()
        structlog.get_logger("opoi").error("a thread died", thread=name, exc_info=fault)
        fail_stop(ExitCode.OWN_FAULT, f"the thread {name} died of {type(fault).__name__}: {fault}")

    threading.excepthook = died


def fail_stop(code: ExitCode, event: str, /, **details: Any) -> NoReturn:
    """Ends the process now, without clean-up, so that nothing more can be acknowledged.

    `event` says what happened and what follows, on one line.
    """
    structlog.get_logger("opoi").critical(event, exit_code=int(code), reason=code.name.lower(), **details)
    if code is ExitCode.WATCHDOG:
        faulthandler.dump_traceback(all_threads=True, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
