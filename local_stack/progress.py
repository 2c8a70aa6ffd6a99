"""Progress of a long command on stderr: a status line on a terminal, else plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from streams.visible import visible


class Progress(Protocol):
    """Receiver of a long command's progress."""

    def line(self, text: str) -> None:
        """Reports a finished step or a note; stays on the screen."""

    def working(self, text: str) -> None:
        """Reports the present step; the next one replaces it; shown on a terminal only."""


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
        """Nothing: a log keeps finished steps only."""


@contextmanager
def progress() -> Iterator[Progress]:
    """A status line if stderr is a terminal, else plain lines."""
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
