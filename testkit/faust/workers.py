"""Worker processes that the Faust benches and fault tests start, freeze, kill and start again."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from testkit.faust.harness import Bed


class Worker:
    """One worker process, started again when it ends by itself."""

    def __init__(self, bed: Bed, name: str, *, unsafe: str = "", more: Iterable[str] = ()) -> None:
        self.bed = bed
        self.name = name
        self.unsafe = unsafe
        self.more = list(more)
        self.exits: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.log = bed.home / f"worker-{name}.log"

    def start(self) -> None:
        """Starts the process."""
        command = [sys.executable, "-P", "-m", "testkit.faust.stage", self.bed.stage, "--name", self.name]
        command += ["--bootstrap", self.bed.bootstrap, "--home", str(self.bed.home), *self.more]
        environment = os.environ | {"OPOI_UNSAFE_FAUST": self.unsafe}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def tend(self) -> None:
        """Starts the process again where it ended by itself."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.exits.append(code)
            self.start()

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30) -> int:
        """Ends the process by a signal; SIGKILL goes to the worker and its keeper alike."""
        assert self.process is not None
        if number == signal.SIGKILL:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        self.process = None
        return code

    def freeze(self, seconds: float | None = None) -> list[psutil.Process]:
        """Lets the worker, not its keeper, stand still; for `seconds` where given."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children() if self.process.poll() is None else []
        for child in children:
            child.suspend()
            if seconds is not None:
                threading.Timer(seconds, _resume, [child]).start()
        return children

    def kill_child(self) -> bool:
        """Kills the worker but not its keeper, as the kernel does when memory is short."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children() if self.process.poll() is None else []
        for child in children:
            child.kill()
        return bool(children)

    def wipe(self) -> None:
        """Removes the worker's state folder."""
        shutil.rmtree(self.bed.home / "state" / self.bed.stage / self.name, ignore_errors=True)

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return self.process is not None


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.resume()


def wait_until_drained(
    bed: Bed, workers: Iterable[Worker], timeout: float = 120, also: str | None = None
) -> bool:
    """Waits until the group has committed what was fed, and the topic `also`; tends the workers."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for worker in workers:
            worker.tend()
        if bed.behind() == 0 and (also is None or not bed.waits(also)):
            return True
        time.sleep(0.5)
    return False


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """The worker for the time of the block."""
    worker.start()
    try:
        yield worker
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.stop(signal.SIGKILL)
