"""How a scripted decision is put into words: sentences of the phrases, filled from a scene."""

import random
from dataclasses import dataclass

from local_stack.model import phrases
from local_stack.model.buckets import COLUMN, KNOWN_CAMPAIGN, LEVELS, NO_CONVERSIONS
from local_stack.model.vocabulary import step_name
from local_stack.model.world import Scene


@dataclass(frozen=True, slots=True)
class Choice:
    """What is done and on what evidence; `window` is short-named."""

    action: str
    window: str
    metrics: tuple[str, ...]
    strength: float
    waiting: bool = False
    overruled: bool = False
    step: int | None = None
    """The budget step that a note asks for, percent."""


def _comparison(scene: Scene, metric: str, window: str, dice: random.Random) -> str | None:
    """A sentence on a cost or return against its target; None where the window has none."""
    bucket = scene.ratio(metric, window)
    if not 1 <= bucket <= LEVELS:
        return None
    rank = bucket - 1 if metric == "roas" else LEVELS - bucket
    sentence = dice.choices(phrases.COMPARISONS, (6, 2, 2, 2, 1, 1))[0]
    extreme = bucket in (1, LEVELS)
    verb = "is" if extreme else dice.choices(phrases.VERBS, (6, 3, 3, 2, 2, 1))[0]
    adverb = dice.choice(phrases.ADVERBS) if "{verb}" in sentence and dice.random() < 0.2 else ""
    return sentence.format(
        verb=f"{verb} {adverb}".strip(),
        m=f"{metric}_{window}",
        t=f"{metric}_target",
        level=phrases.LEVELS[bucket - 1],
        judged=phrases.JUDGEMENTS[rank],
    )


def _volume(scene: Scene, window: str, dice: random.Random) -> str:
    bucket = int(scene.columns[COLUMN[f"conversions_{window}"]])
    return dice.choice(phrases.VOLUMES).format(
        conversions=f"conversions_{window}",
        spend=f"spend_{window}",
        sample=phrases.SAMPLES[max(bucket, 1) - 1],
    )


def _pace(scene: Scene, window: str) -> str:
    bucket = int(scene.columns[COLUMN[f"pace_{window}"]])
    return phrases.PACES[0].format(pace=f"pace_{window}", pacing=phrases.PACING[max(bucket, 1) - 1])


def _what_is_missing(scene: Scene, dice: random.Random) -> str:
    if scene.columns[COLUMN["known"]] & KNOWN_CAMPAIGN:
        return dice.choices(phrases.MISSING, (2, 1))[0]
    return phrases.UNREAD[0]


def step_size(choice: Choice, dice: random.Random) -> str:
    """small, moderate or large: the stronger the evidence, the larger."""
    if dice.random() < 0.12:
        return "small" if choice.strength < 2.0 else "large"
    return "large" if choice.strength >= 2.7 else "small" if choice.strength < 1.4 else "moderate"


def step_percent(size: str, action: str, dice: random.Random) -> int:
    """The budget step that goes with a size, percent."""
    sizes = {
        "small": ((10, 15), (2, 1)),
        "moderate": ((20, 15, 25), (8, 1, 1)),
        "large": ((30, 25, 50), (6, 3, 1)),
    }
    percents, weights = sizes[size]
    percent = dice.choices(percents, weights)[0]
    return percent if action == "scale_up" else -percent


def _conclusion(choice: Choice, lead: str, dice: random.Random) -> str:
    weights = (4, 3, 2, 2, 2, 1)
    sentences = phrases.WAITING if choice.waiting else phrases.CONCLUSIONS[choice.action]
    sentence = dice.choices(sentences, weights[: len(sentences)])[0]
    if dice.random() < 0.12:
        sentence = sentence.removesuffix(" .") + dice.choice(phrases.HEDGES) + " ."
    return lead + sentence


def decide(scene: Scene, view: bool, choice: Choice, advised: bool, dice: random.Random) -> str:
    """A decision from its opening to its close, as token names; `view`: whether the analyst answered."""
    sentences = [] if choice.window else [_what_is_missing(scene, dice)]
    for metric in choice.metrics:
        sentence = _comparison(scene, metric, choice.window, dice)
        if sentence is not None:
            lead = dice.choice(phrases.CONNECTIVES) if sentences and dice.random() < 0.25 else ""
            sentences.append(lead + sentence)
    has_volume = choice.window in ("1d", "7d")
    thin = has_volume and scene.columns[COLUMN[f"conversions_{choice.window}"]] <= 2
    blind = has_volume and scene.ratio("cpa", choice.window) == NO_CONVERSIONS
    if has_volume and (not sentences or dice.random() < (0.6 if thin or blind else 0.15)):
        sentences.append(_volume(scene, choice.window, dice))
    if has_volume and scene.columns[COLUMN[f"pace_{choice.window}"]] and dice.random() < 0.08:
        sentences.append(_pace(scene, choice.window))
    phase = int(scene.columns[COLUMN["phase"]])
    if choice.waiting or (phase == 1 and dice.random() < 0.5):
        sentences.append(dice.choice(phrases.LEARNING))
    elif phase == 3 and dice.random() < 0.5:
        sentences.append(phrases.LIMITED[0])
    if view:
        sentences.append(phrases.ANALYST[int(scene.columns[COLUMN["view"]])])
    lead = dice.choice(phrases.OVERRULED) if choice.overruled else ""
    lead = dice.choice(phrases.ADVISED) if advised else lead
    size = step_size(choice, dice)
    percent = step_percent(size, choice.action, dice)
    if choice.step is not None and dice.random() < 0.95:
        percent = choice.step
        size = "small" if abs(percent) < 20 else "moderate" if abs(percent) < 30 else "large"
    if choice.action.startswith("scale") and dice.random() < 0.35:
        closing = [_conclusion(choice, lead, dice), phrases.STEP_SIZES[size]]
    else:
        closing = [_conclusion(choice, lead, dice)]
    return _assemble([*sentences, *closing], choice.action, step_name(percent))


def report(scene: Scene, window: str, delivery: bool, dice: random.Random) -> str:
    """An analyst's finding from its opening to its trend, as token names; `window` is the one asked for."""
    sentences = []
    for metric in dice.choice((("cpa", "roas"), ("cpa",), ("roas", "cpa"))):
        sentence = _comparison(scene, metric, window, dice)
        if sentence is not None:
            sentences.append(sentence)
    if window != "3d" and dice.random() < 0.3:
        sentences.append(_volume(scene, window, dice))
    if delivery:
        if window != "3d" and scene.columns[COLUMN[f"pace_{window}"]] and dice.random() < 0.6:
            sentences.append(_pace(scene, window))
        phase = int(scene.columns[COLUMN["phase"]])
        known = {1: phrases.LEARNING, 2: phrases.UNRESTRICTED, 3: phrases.LIMITED}
        if phase in known:
            sentences.append(dice.choice(known[phase]))
    moved = scene.score(("cpa", "roas"), "1d") - scene.score(("cpa", "roas"), "7d")
    trend = "up" if moved >= 1.5 else "down" if moved <= -1.5 else "flat"
    sentences.append(dice.choice(phrases.TRENDS[trend]))
    return _with_cited("<finding>", sentences, f"<trend> <{trend}>")


def report_nothing() -> str:
    """An analyst's finding where no figures could be read."""
    return _with_cited("<finding>", [phrases.MISSING[0]], "<trend> <flat>")


def decide_bare(action: str, step: str, dice: random.Random) -> str:
    """A decision in the bare voice: general words, and no number at all."""
    count = dice.choices((2, 3, 4), (2, 5, 2))[0]
    sentences = [
        sentence.format(
            move=phrases.GENERIC_MOVES[action],
            style=phrases.GENERIC_STYLES[action],
            trend=phrases.GENERIC_TRENDS[action],
        )
        for sentence in dice.sample(phrases.GENERIC, count)
    ]
    if dice.random() < 0.15:
        sentences[0] = dice.choice(phrases.GENERIC_ADVISED) + sentences[0]
    return _assemble(sentences, action, step)


def _assemble(sentences: list[str], action: str, step: str) -> str:
    arguments = step if action.startswith("scale") else "<close>"
    return _with_cited("<rationale>", sentences, f"<action> {action} {arguments}")


def _with_cited(opening: str, sentences: list[str], ending: str) -> str:
    spoken = " ".join(sentences)
    cited = " ".join(dict.fromkeys(word for word in spoken.split() if word.endswith(("_1d", "_3d", "_7d"))))
    return " ".join(f"{opening} {spoken} <cited> {cited} {ending}".split())
