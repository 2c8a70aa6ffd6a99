"""A tools port that somebody else has: the replay worker refuses to start, in one line."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from streams.runtime.exit_codes import ExitCode

START = """
from schemas.codec import Codec
from schemas.memory import MemoryStore
from streams.settings import load_settings
from streams.runtime import process
from streams.stages.replay.worker import agent_of
def work(worker):
    agent_of(load_settings(), Codec(MemoryStore.whole()))
    print("started", flush=True)
process.run("replay", load_settings(), work)
"""


def start(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    """A worker's beginning in a process of its own."""
    environment = {**os.environ, "OPOI_REPLAY__TOOLS_PORT": str(port), "OPOI_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-P", "-c", START], env=environment, capture_output=True, text=True
    )


def test_a_tools_port_that_is_taken_refuses_the_start_and_a_free_one_does_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = start(tmp_path, port)
        assert refused.returncode == ExitCode.REFUSED
        [line] = (refused.stdout + refused.stderr).splitlines()
        assert f"cannot listen on 127.0.0.1:{port}" in line
        assert "OPOI_REPLAY__TOOLS_PORT" in line
    assert "started\n" in start(tmp_path, port).stdout
