"""What a long command says while it works, on stderr: a status line on a terminal, else plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from streams.visible import visible


class Progress(Protocol):
    """Where a long command reports to."""

    def line(self, text: str) -> None:
        """Something is done or worth knowing; stays on the screen."""

    def working(self, text: str) -> None:
        """What is being done right now; replaced by the next one, shown on a terminal only."""


class Silent:
    """Reports nothing."""

    def line(self, text: str) -> None:
        """Nothing."""

    def working(self, text: str) -> None:
        """Nothing."""


class Lines:
    """Plain lines on stderr."""

    def line(self, text: str) -> None:
        """Print `text`."""
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()

    def working(self, text: str) -> None:
        """Nothing: a log keeps what is done, not what is under way."""


@contextmanager
def progress() -> Iterator[Progress]:
    """A status line where stderr is a terminal, plain lines where it is not."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    with console.status("") as status:

        class Live:
            def line(self, text: str) -> None:
                console.print(Text(visible(text)))

            def working(self, text: str) -> None:
                status.update(Text(visible(text)))

        yield Live()
