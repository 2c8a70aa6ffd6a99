"""Types of deploying schemas and topics; `schemas.deploy` has the functions."""

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
    """One difference from the catalog: what differs, how, and what to do."""

    subject: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}; {self.remedy}"
