"""Which part of the data a decision belongs to."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from schemas.records import Split


@dataclass(frozen=True, slots=True)
class SplitRule:
    """Whole accounts go to one part; decisions from `test_from` on are test whatever the account.

    Splitting by account and time before anything is generated keeps a held-out prompt's account out
    of training. Shares are of accounts and add up to at most 1; the rest is train.
    """

    validation_share: float = 0.1
    test_share: float = 0.1
    test_from: datetime | None = None

    def __post_init__(self) -> None:
        if not (self.validation_share >= 0 and 0 <= self.test_share <= 1 - self.validation_share):
            raise ValueError(
                f"validation_share ({self.validation_share}) and test_share ({self.test_share}) "
                "must not be negative nor exceed 1 together"
            )

    def __call__(self, agent: str, account_id: str, decided_at: datetime) -> Split:
        """The part of a decision; a pure function of account and time."""
        if self.test_from is not None and decided_at >= self.test_from:
            return "test"
        digest = hashlib.sha256(f"{agent}\x00{account_id}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < self.test_share:
            return "test"
        return "validation" if place < self.test_share + self.validation_share else "train"
