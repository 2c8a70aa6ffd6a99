"""How a worker process ends."""

import subprocess
import sys

from streams.runtime.exit_codes import ExitCode

THREAD_DIES = """
import threading, time
from streams.runtime.exit_codes import end_with_threads
end_with_threads()
threading.Thread(target=lambda: 1 / 0, name="publisher", daemon=True).start()
time.sleep(30)
"""


def test_a_thread_that_dies_takes_the_process_with_it() -> None:
    ended = subprocess.run([sys.executable, "-c", THREAD_DIES], capture_output=True, text=True, timeout=60)
    assert ended.returncode == ExitCode.OWN_FAULT
    said = ended.stdout + ended.stderr
    assert "the thread publisher died of ZeroDivisionError: division by zero" in said
