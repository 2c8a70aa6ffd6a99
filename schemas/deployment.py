"""What deploying schemas and topics needs and answers; `schemas.deploy` is the way in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.settings import KafkaSettings, RegistrySettings


class WireSettings(Protocol):
    """The settings that deploying needs; `streams.settings.Settings` has them."""

    @property
    def kafka(self) -> KafkaSettings:
        """The broker."""

    @property
    def registry(self) -> RegistrySettings:
        """The schema registry."""


Report = Callable[[str], None]
"""Called with one line for each thing that was changed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the catalogue wants it: what is wrong with which, and what to do."""

    subject: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}; {self.remedy}"
