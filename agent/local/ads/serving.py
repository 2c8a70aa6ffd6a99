"""The ads platform inside this process, for tests and for trying things out."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from agent.local.ads.app import build
from agent.local.ads.platform import POINTS
from agent.local.ads.world import World

START_SECONDS = 10.0


@contextmanager
def served(world: World, *, points: int = POINTS, port: int = 0) -> Iterator[str]:
    """Serve `world` from a thread; gives the server's URL. `port` 0 takes a free one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(build(world, points), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="ads-platform", daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the ads platform did not start within {START_SECONDS:g} s")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
