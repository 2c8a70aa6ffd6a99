"""Progress for tests."""


class Said:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def working(self, text: str) -> None:
        """Nothing."""
