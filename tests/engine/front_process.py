"""The local ClickHouse front as a process of its own."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from local_stack.ports import free_port


class Front:
    """The front on one data folder; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.options = options
        self.port = free_port()
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-P", "-m", "local_stack.clickhouse.front", "--data", str(self.folder)]
        self.process = subprocess.Popen([*command, "--port", str(self.port), *self.options])
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"the front ended with {self.process.returncode}")
            try:
                urllib.request.urlopen(f"{self.url}/ping", timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("the front did not answer in 30 s")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send `number` and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(20)

    def client(self, **options: object) -> Client:
        """The stock HTTP client on the database `opoi`."""
        options = {"database": "opoi", **options}
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)  # type: ignore[arg-type]
