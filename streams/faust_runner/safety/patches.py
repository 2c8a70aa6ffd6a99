"""The versions that the patches are written for, and the check that they replace what was read."""

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


class UnknownFaust(Exception):
    """Faust, mode or aiokafka is not what the patches were written against; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One replaced name of Faust. `guards` is the name by which it can be left out."""

    guards: str
    owner: type | ModuleType
    method: str
    sha256: str
    """Hash of the source of `original`."""
    replacement: Callable[..., Any]
    original: Callable[..., Any]
    """What is replaced or wrapped; if that has no source, its caller."""


def patch(guards: str, owner: type, method: str, sha256: str, replacement: Callable[..., Any]) -> Patch:
    """A patch of the present `owner.method`."""
    return Patch(guards, owner, method, sha256, replacement, owner.__dict__[method])


def source_hash(function: Callable[..., Any]) -> str:
    """Hexadecimal sha256 of a function's source text, decorators included."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Raises `UnknownFaust` unless exactly the pinned versions are installed."""
    for package, wanted in PINNED.items():
        try:
            found = installed(package)
        except PackageNotFoundError:
            found = "not installed"
        if found != wanted:
            raise UnknownFaust(
                f"{package} is {found}, opoi's repairs are written for {wanted}: "
                f"install {package}=={wanted} (other versions lose records in ways that were not tested)"
            )


def check_sources(patches: Iterable[Patch]) -> None:
    """Raises `UnknownFaust` where a method that is to be patched is not the one that was read."""
    for each in patches:
        found = source_hash(each.original)
        if found != each.sha256:
            raise UnknownFaust(
                f"{each.original.__module__}.{each.original.__qualname__} (for {each.method}) has source "
                f"hash {found[:12]}, expected {each.sha256[:12]}: this is not the Faust that opoi repairs, "
                f"reinstall faust-streaming=={PINNED['faust-streaming']}"
            )
