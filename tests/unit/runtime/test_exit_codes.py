"""How a worker process ends."""

import errno
import subprocess
import sys

import pytest

from streams.runtime.exit_codes import ExitCode, own_code

THREAD_DIES = """
import threading, time
from streams.runtime.exit_codes import end_with_threads
end_with_threads()
threading.Thread(target=lambda: 1 / 0, name="publisher", daemon=True).start()
time.sleep(30)
"""


def test_a_thread_that_dies_takes_the_process_with_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", THREAD_DIES], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == ExitCode.OWN_FAULT
    said = ended.stdout + ended.stderr
    assert "the thread publisher died of ZeroDivisionError: division by zero" in said


def _caused_by(cause: Exception) -> Exception:
    try:
        raise RuntimeError("the table cannot be written") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.MACHINE_FAULT),
        (_caused_by(OSError(errno.EIO, "Input/output error")), ExitCode.MACHINE_FAULT),
        (Exception("IO error: No space left on device: While appending to file"), ExitCode.MACHINE_FAULT),
        (Exception("Corruption: block checksum mismatch"), ExitCode.MACHINE_FAULT),
        (FileNotFoundError(errno.ENOENT, "No such file"), ExitCode.OWN_FAULT),
        (ValueError("IO error: a record may say so"), ExitCode.OWN_FAULT),
        (Exception("a bug"), ExitCode.OWN_FAULT),
    ],
)
def test_a_machine_that_fails_is_told_from_a_fault_of_ours(error: Exception, code: ExitCode) -> None:
    assert own_code(error) is code
