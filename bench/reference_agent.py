"""The reference agent for benchmarks: its artifacts, and the local model in a process of its own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from agent.media_buyer.definition import artifacts, media_buyer
from local_stack.ports import free_port
from streams.health.probes import listening

MODEL_NAME = "opoi-local"
CONTENTS = {one.artifact_id: one.content for one in artifacts(media_buyer(), datetime.now(UTC))}


class Contents:
    """The media buyer's artifacts."""

    @staticmethod
    def content(artifact_id: str) -> bytes | None:
        """See `agent.replay.Artifacts`."""
        return CONTENTS.get(artifact_id)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A local model that is served."""

    url: str
    process: psutil.Process

    def processor_seconds(self) -> float:
        """What it has computed so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """The local model, ready to answer."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as home:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "local_stack.model", "--port", str(port), "--home", home]
        )
        try:
            ready = listening(port)
            while not ready():
                assert process.poll() is None, "the local model ended"
                time.sleep(0.2)
            yield ModelServer(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(30)
