"""Pre-training, its cache, and tuning: what is learned, and what must not depend on chance."""

import multiprocessing
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from local_stack.model.corpus import Corpus, join
from local_stack.model.pretraining import Recipe, base_model, corpus_of, fingerprint
from local_stack.model.tuning import ORDER_SEED, RATE
from local_stack.model.vocabulary import ID, KIND, POINTER
from local_stack.model.weights import Fitter, OtherBase, Weights, fork, load, save
from testkit.local_model import Figures, Talk, drawn_figures, talk

SMALL = Recipe(traces=60, epochs=1)
NOTE = "Expected action: {action}.\nWhere to look: cpa, roas, yesterday."


def corpus(runs: list[Talk]) -> Corpus:
    return join([run.conversation().trace for run in runs])


def tuned(base: Weights, found: Corpus, epochs: int = 3) -> Weights:
    fitter = Fitter(fork(base, found), found, RATE, ORDER_SEED)
    for _ in range(epochs):
        fitter.epoch()
    return fitter.weights


def test_pre_training_has_learned(base: Weights) -> None:
    held_out = corpus_of(Recipe(), 300, 1)
    assert base.loss(held_out) < 0.5
    assert base.loss(held_out) < 0.25 * Weights(base.base * 0, base.own, base.overlay).loss(held_out)


def test_the_recipe_and_the_code_name_the_cache() -> None:
    assert fingerprint(Recipe()) == fingerprint(Recipe())
    assert fingerprint(Recipe()) != fingerprint(replace(Recipe(), seed=1))


def _load(number: int) -> tuple[str, bytes]:
    weights, version = base_model(SMALL)
    return version, weights.base.tobytes()[:200_000]


def test_processes_that_start_at_once_share_one_whole_cache(
    base: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map(_load, range(4), chunksize=1)
    assert len(set(found)) == 1
    weights, _ = base_model(SMALL)
    assert weights.base.tobytes()[:200_000] == found[0][1]
    files = [path.name for path in (tmp_path / "opoi" / "local-model").iterdir()]
    assert sorted(files) == sorted([f"{fingerprint(SMALL)}.npz", f"{fingerprint(SMALL)}.lock"])


def steered(base: Weights, count: int) -> list[Talk]:
    """Runs in the agent's own words that follow yesterday, their notes taken out."""
    found = []
    for seed in range(count):
        figures = drawn_figures(random.Random(seed))
        action = "scale_up" if figures.purchases[-1] >= 6 else "scale_down"
        if figures.purchases[-1] in (4, 5, 6):
            continue
        run = talk(base, figures, seed=seed, note=NOTE.format(action=action), temperature=0.5)
        del run.contents[0]["parts"][1:]
        found.append(run)
    return found


def windows(weights: Weights) -> float:
    """Share of fresh runs whose first cited figure is yesterday's."""
    runs = [
        talk(weights, drawn_figures(random.Random(seed)), seed=seed, temperature=0.5)
        for seed in range(1000, 1080)
    ]
    cited = [run.decision["cited_metrics"] for run in runs]
    return [bool(one) and one[0]["window"] == "yesterday" for one in cited].count(True) / len(runs)


def test_tuning_on_the_agents_own_words_moves_where_it_looks(base: Weights) -> None:
    found = corpus(steered(base, 150))
    fitted = tuned(base, found)
    assert fitted.loss(found) < base.loss(found)
    assert windows(fitted) > windows(base) + 0.3


def test_tuning_is_the_same_every_time_and_leaves_the_base_alone(base: Weights) -> None:
    before = base.base.copy()
    found = corpus(steered(base, 20))
    one, other = tuned(base, found), tuned(base, found)
    assert np.array_equal(one.own, other.own)
    assert np.array_equal(base.base, before)


def test_rows_that_were_not_fitted_are_the_bases(base: Weights) -> None:
    found = corpus(steered(base, 20))
    fitted = tuned(base, found)
    assert 0 < len(fitted.own) < len(base.base)
    elsewhere = fitted.overlay < 0
    assert fitted.base[elsewhere].shape[0] == len(base.base) - len(fitted.own)
    again = fork(fitted, found)
    assert np.array_equal(again.own, fitted.own)


def test_a_stored_model_is_read_back_over_its_own_base_only(base: Weights, tmp_path: Path) -> None:
    found = corpus(steered(base, 20))
    fitted = tuned(base, found)
    save(tmp_path / "one.npz", fitted, "a")
    read = load(tmp_path / "one.npz", base.base, "a")
    assert np.array_equal(read.own, fitted.own.astype(np.float16).astype(np.float32))
    assert read.loss(found) == pytest.approx(fitted.loss(found), abs=1e-3)
    with pytest.raises(OtherBase, match="a"):
        load(tmp_path / "one.npz", base.base, "b")
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]


def test_foreign_words_are_scored_and_not_learned(base: Weights) -> None:
    run = talk(base, Figures(), seed=1)
    decided = next(content for content in run.contents[2:] if content["role"] == "model")
    decided["parts"] = [{"text": "Zounds, gadzooks."}]
    run.contents = run.contents[:4]
    found = corpus([run])
    scores, expected = base.score(found)
    assert np.isfinite(scores).all()
    assert (scores <= 0).all()
    assert not expected[found.tokens == ID["<unk>"]].any()
    fitted = tuned(base, found)
    assert np.isfinite(fitted.own).all()


def test_scripted_numbers_are_cited_as_they_are_spoken() -> None:
    """The list of cited metrics of a scripted trace has each number of its rationale once, in order."""
    found = corpus_of(Recipe(), 200, 3)
    for turn in range(len(found.openings)):
        tokens = found.tokens[found.first_token[turn] : found.first_token[turn + 1]].tolist()
        if ID["<cited>"] not in tokens:
            continue
        place = tokens.index(ID["<cited>"])
        spoken = [token for token in tokens[:place] if KIND[token] == POINTER]
        cited = [token for token in tokens[place:] if KIND[token] == POINTER]
        assert cited == list(dict.fromkeys(spoken))
