"""The ads platform inside this process, for tests and trials."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.http.serving import serving
from local_stack.ads.app import build
from local_stack.ads.platform import POINTS
from local_stack.ads.world import World


@contextmanager
def served(world: World, *, points: int = POINTS, port: int = 0) -> Iterator[str]:
    """Serve `world` from a thread; the server's URL. `port` 0: a free one. Raises CannotListen."""
    with serving(build(world, points), port=port) as server:
        yield server.url
