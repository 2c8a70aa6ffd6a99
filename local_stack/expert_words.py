"""Rationales of the simulated expert: short, varied, sometimes with a figure, as people write."""

from dataclasses import dataclass
from random import Random

from schemas.records import VerdictKind


@dataclass(frozen=True, slots=True)
class Saying:
    """Facts that a rationale can mention; money in major units of `currency`."""

    action: str
    currency: str
    cpa_yesterday: float | None
    cpa_week: float
    target: float
    tag: str
    low_stock: bool
    later: float | None = None
    """A cost of a later day, known only in hindsight."""


APPROVALS = (
    "Agreed.",
    "Fine by me.",
    "Yes, this is what I would have done.",
    "Looks right.",
    "OK, keep an eye on it tomorrow.",
    "",
)
DECLINES = (
    "I would not have done this.",
    "No, not on these figures.",
    "This does not convince me; look again.",
    "Not like this.",
)
NO_FIGURES = ("There was nothing to go by, so leaving it alone is right.",)
STOCK = (
    "Stock of the bestseller is down to a few days, do not push it now.",
    "We are running low on inventory; no growth until the delivery is in.",
    "The warehouse is nearly empty for this range, leave it where it is.",
    "Supply is short this week, so I would not touch it.",
)
FINDINGS = {
    "latest_day": (
        "CPA yesterday was {cpa_yesterday} against a target of {target}; the week hides that.",
        "Look at yesterday: {cpa_yesterday} a purchase, target {target}.",
        "Yesterday's cost per purchase of {cpa_yesterday} is what counts here, not the seven days.",
        "You went by the last 7 days. Yesterday came in at {cpa_yesterday}.",
        "The turn is in yesterday's ROAS and CPA already.",
    ),
    "level": (
        "Over the last 7 days the CPA is {cpa_week}, target {target}.",
        "The week is clear enough: {cpa_week} a purchase against {target}.",
        "CPA and ROAS of the last seven days both say so.",
    ),
    "on_target": (
        "Yesterday and the week are close enough to target.",
        "CPA yesterday at {cpa_yesterday} is within what I accept for a target of {target}.",
        "Nothing in yesterday's CPA asks for a change.",
    ),
    "learning_phase": (
        "It is still in the learning phase; give it time.",
        "Learning. Yesterday's CPA means little yet.",
    ),
}
CONCLUSIONS = {
    "scale_up": ("Raise it.", "There is room, so push it.", "I would go up.", "Give it more budget."),
    "scale_down": ("Take it down.", "I would cut here.", "Less budget until it recovers.", "Lower it now."),
    "pause": ("Stop it.", "Switch it off before it burns more.", "I would pause."),
    "resume": ("Let it run again.", "Turn it back on."),
    "hold": ("Leave it.", "No change today.", "I would wait.", "Keep the budget where it is."),
}
LATER = (
    "It came in at {later} the day after.",
    "And indeed, two days later the CPA stood at {later}.",
    "The next day showed {later}, by the way.",
)


def say(kind: VerdictKind, saying: Saying | None, rng: Random) -> str | None:
    """The verdict's rationale; None if the expert gives none."""
    if saying is None:
        return rng.choice(NO_FIGURES)
    if kind == "approve":
        words = [rng.choice(APPROVALS)]
    elif kind == "decline":
        words = [rng.choice(DECLINES)]
    else:
        words = [
            rng.choice(STOCK if saying.low_stock else _findings(saying)),
            rng.choice(CONCLUSIONS[saying.action]),
        ]
        if rng.random() < 0.3:
            words.reverse()
        if rng.random() < 0.15:
            words = words[:1]
    if saying.later is not None:
        words.append(rng.choice(LATER))
    return _filled(" ".join(word for word in words if word), saying) or None


def _findings(saying: Saying) -> tuple[str, ...]:
    found = FINDINGS[saying.tag]
    if saying.cpa_yesterday is None:
        return tuple(one for one in found if "{cpa_yesterday}" not in one) or ("Yesterday sold nothing.",)
    return found


def _filled(text: str, saying: Saying) -> str:
    def money(value: float | None) -> str:
        return f"{value or 0.0:.2f} {saying.currency}"

    return text.format(
        cpa_yesterday=money(saying.cpa_yesterday),
        cpa_week=money(saying.cpa_week),
        target=money(saying.target),
        later=money(saying.later),
    )
