"""The models of the server: the base, and the tuned ones in a folder."""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from local_stack.model.errors import invalid, unknown
from local_stack.model.weights import OtherBase, Weights, load, save
from schemas.names import is_name

BASE_NAME = "opoi-local"
MAXIMUM_LOADED = 8
"""Tuned models in memory at once; others are read again on request."""


@dataclass(slots=True)
class Registry:
    """Weights by model name. Tuned models belong to the base that they were fitted from."""

    base: Weights
    version: str
    folder: Path
    _loaded: "OrderedDict[str, Weights]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, name: str) -> Weights:
        """The weights of a model; `name` may be a whole resource name. Raises ApiError 404."""
        short = short_name(name)
        if short == BASE_NAME:
            return self.base
        with self._lock:
            if short in self._loaded:
                self._loaded.move_to_end(short)
                return self._loaded[short]
            path = self._path(short)
            if not is_name(short) or not path.exists():
                raise unknown("Model", name)
            try:
                weights = load(path, self.base.base, self.version)
            except OtherBase as error:
                raise invalid(
                    f"Model {short!r} was tuned from base {error}, not {self.version}: tune it again."
                ) from error
            self._keep(short, weights)
            return weights

    def version_of(self, name: str) -> str:
        """The value of `modelVersion`: the model's name and the base's hash."""
        return f"{short_name(name)}@{self.version}"

    def add(self, name: str, weights: Weights) -> None:
        """Store a tuned model, and serve it exactly as stored."""
        save(self._path(name), weights, self.version)
        with self._lock:
            self._keep(name, load(self._path(name), self.base.base, self.version))

    def names(self) -> list[str]:
        """All models, the base first."""
        return [BASE_NAME, *sorted(path.stem for path in self.folder.glob("*.npz"))]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _keep(self, name: str, weights: Weights) -> None:
        self._loaded[name] = weights
        while len(self._loaded) > MAXIMUM_LOADED:
            self._loaded.popitem(last=False)


def short_name(name: str) -> str:
    """The last segment of a resource name, without its version."""
    return name.rstrip("/").rpartition("/")[2].partition("@")[0]
