"""The support-refund agent of the examples, served for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from examples.support_refund import service


@contextmanager
def served() -> Iterator[str]:
    """Its address."""
    with service.server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
