"""The ads platform inside this process, for tests and for trying things out."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.http.serving import serving
from local_stack.ads.app import build
from local_stack.ads.platform import POINTS
from local_stack.ads.world import World


@contextmanager
def served(world: World, *, points: int = POINTS, port: int = 0) -> Iterator[str]:
    """Serve `world` from a thread; gives the server's URL. `port` 0 takes a free one. Raises CannotListen."""
    with serving(build(world, points), port=port) as server:
        yield server.url
