"""The base model: fitted to scripted traces by a script, cached, never committed."""

import hashlib
import json
import random
from dataclasses import asdict, dataclass

import numpy as np
import structlog

from agent.local.model.compiled import source_hash
from agent.local.model.corpus import Corpus, join
from agent.local.model.features import ROWS
from agent.local.model.files import cache_folder, locked
from agent.local.model.scripts import scripted
from agent.local.model.weights import Fitter, Weights, as_base, blank, load, save
from agent.local.model.world import draw_scenes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the base is made; a part of the cache's name."""

    traces: int = 12_000
    epochs: int = 2
    rate: float = 0.25
    seed: int = 20261122
    un_noted: float = 0.5
    noted: float = 0.33


def fingerprint(recipe: Recipe) -> str:
    """Hash of the recipe and of all code that the weights depend on."""
    parameters = json.dumps(asdict(recipe), sort_keys=True)
    return hashlib.sha256(f"{source_hash()}{parameters}".encode()).hexdigest()[:16]


def corpus_of(recipe: Recipe, traces: int, seed: int) -> Corpus:
    """`traces` scripted traces of the recipe's mix, as `seed` draws them."""
    scenes = draw_scenes(traces, np.random.default_rng(seed))
    return join(scripted(scenes, (recipe.un_noted, recipe.noted), random.Random(seed)))


def train(recipe: Recipe) -> Weights:
    """Fit the base from nothing."""
    corpus = corpus_of(recipe, recipe.traces, recipe.seed)
    fitter = Fitter(blank(ROWS), corpus, recipe.rate, recipe.seed)
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
                log.info("fitting the local model", traces=recipe.traces, cache=str(path))
                save(path, train(recipe), version)
    stored = load(path, np.zeros((1, 1), np.float32), version)
    rows = np.zeros((ROWS, stored.own.shape[1]), np.float32)
    rows[stored.overlay >= 0] = stored.own[stored.overlay[stored.overlay >= 0]]
    return as_base(rows), version
