"""The base model: fitted to scripted traces by a script, cached, never committed."""

import hashlib
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import structlog

from local_stack.model.compiled import source_hash
from local_stack.model.corpus import Corpus, join
from local_stack.model.features import ROWS
from local_stack.model.files import cache_folder, locked
from local_stack.model.scripts import analyst_trace, scripted
from local_stack.model.vocabulary import SIZE
from local_stack.model.weights import Fitter, Floats, Weights, blank, save
from local_stack.model.world import draw_scenes
from schemas.log_events import MODEL_TRAINING

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the base is made; a part of the cache's name."""

    traces: int = 14_000
    epochs: int = 2
    rate: float = 0.25
    seed: int = 20261122
    un_noted: float = 0.5
    noted: float = 0.33
    analysts: float = 0.12
    """Reports of analysts, as a share of `traces` and on top of them."""


def fingerprint(recipe: Recipe) -> str:
    """Hash of the recipe and of all code that the weights depend on."""
    parameters = json.dumps(asdict(recipe), sort_keys=True)
    return hashlib.sha256(f"{source_hash()}{parameters}".encode()).hexdigest()[:16]


def corpus_of(recipe: Recipe, traces: int, seed: int) -> Corpus:
    """`traces` scripted traces of the recipe's mix, as `seed` draws them."""
    draws = np.random.default_rng(seed)
    scenes = draw_scenes(traces, draws)
    dice, further = random.Random(seed), random.Random(f"{seed}/further")
    spoken = scripted(scenes, (recipe.un_noted, recipe.noted), dice, further)
    reports = [analyst_trace(scene, further) for scene in draw_scenes(round(recipe.analysts * traces), draws)]
    return join([*spoken, *reports])


def train(recipe: Recipe) -> Weights:
    """Fit the base from nothing."""
    corpus = corpus_of(recipe, recipe.traces, recipe.seed)
    fitter = Fitter(blank(), corpus, recipe.rate, recipe.seed)
    for _ in range(recipe.epochs):
        fitter.epoch()
    return fitter.weights


def base_model(recipe: Recipe | None = None) -> tuple[Weights, str]:
    """The base and its version; trained at most once per machine, whoever asks first."""
    recipe = recipe or Recipe()
    version = fingerprint(recipe)
    path = cache_folder() / f"{version}.npz"
    if not path.exists():
        with locked(path.with_suffix(".lock")):
            if not path.exists():
                MODEL_TRAINING.emit(log, traces=recipe.traces, cache=str(path))
                save(path, train(recipe), version)
    return Weights(_dense(path), np.zeros((1, SIZE), np.float32), np.full(ROWS, -1, np.int32)), version


def _dense(path: Path) -> Floats:
    """All rows of the base; those that no trace touched are zero."""
    with np.load(path) as stored:
        rows = np.zeros((ROWS, SIZE), np.float32)
        rows[stored["places"]] = stored["rows"]
        return rows
