"""Exit codes of worker processes, and the one way to end a process at once.

The supervisor restarts a worker after each of these; what it had not finished is read again from the
committed offset. Codes 1 and 2 are those of every command.
"""

import errno
import faulthandler
import os
import sys
import threading
import traceback
from enum import IntEnum
from typing import Any, NoReturn

import structlog

from schemas.log_events import THREAD_DIED

MACHINE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})
TABLE_ERRORS = ("IO error", "Corruption")
"""First words of RocksDB's errors about a full or failing disk; its Python binding has no type for them."""


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
    """No progress: commits stalled, fetch stalled, or the main loop blocked; stacks are in the log."""
    BREAKER = 74
    """Most records were refused: a bad deploy, not bad records."""
    DEAD_LETTER_REFUSED = 75
    """ClickHouse refuses a dead letter: the sink stops rather than write a dead letter about it."""
    EXPELLED = 76
    """The group gave the partitions to another worker while this one was frozen; unsent work stays unsent."""
    MACHINE_FAULT = 77
    """The machine failed: disk full, I/O error, no file handles left. No record is to blame."""


class WorkerStopped(Exception):
    """The worker cannot continue; `code`: its exit code; the text says why and what to do."""

    def __init__(self, code: ExitCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Refused(WorkerStopped):
    """Wrong settings, topics or versions: a restart will not help by itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitCode.REFUSED, reason)


def own_code(error: BaseException) -> ExitCode:
    """Exit code for an exception that ends the process: a fault of the machine, or of opoi."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in MACHINE_ERRORS:
            return ExitCode.MACHINE_FAULT
        if type(cause) is Exception and str(cause).startswith(TABLE_ERRORS):
            return ExitCode.MACHINE_FAULT
        cause = cause.__cause__ or cause.__context__
    return ExitCode.OWN_FAULT


def frames(error: BaseException) -> list[str]:
    """Code locations of an exception, without its text, which may quote a record."""
    return [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]


def end_with_threads() -> None:
    """From now on an exception that ends a thread ends the process too."""

    def died(given: threading.ExceptHookArgs) -> None:
        name = given.thread.name if given.thread else "?"
        fault = given.exc_value or given.exc_type()
        THREAD_DIED.emit(structlog.get_logger("opoi"), thread=name, exc_info=fault)
        fail_stop(own_code(fault), f"the thread {name} died of {type(fault).__name__}: {fault}")

    threading.excepthook = died


def fail_stop(code: ExitCode, event: str, /, **details: Any) -> NoReturn:
    """Ends the process now, without clean-up, so that nothing more can be acknowledged.

    `event`: what happened and what follows, in one line.
    """
    structlog.get_logger("opoi").critical(event, exit_code=int(code), reason=code.name.lower(), **details)
    if code is ExitCode.WATCHDOG:
        faulthandler.dump_traceback(all_threads=True, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
