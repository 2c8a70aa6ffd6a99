"""The traces that pre-training learns from: an agent with a bias, the same with a note, and a bare voice.

This is the world of the local model, fixed once: which window the agent prefers, how it errs, how it follows
a note. Nothing here knows of a training arm or of a figure that is compared later.
"""

import random

import numpy as np

from local_stack.model.buckets import COLUMN, LEVELS
from local_stack.model.corpus import Trace, Turn
from local_stack.model.grammar import CLOSING, STARTS
from local_stack.model.note import AGENT_VOICE, ANALYST_VOICE, BARE_VOICE, Note
from local_stack.model.phrases import ACTIONS, METRICS, STEPS
from local_stack.model.speech import Choice, decide, decide_bare, report, report_nothing
from local_stack.model.vocabulary import (
    DECIDES,
    ID,
    REPORTS,
    WRITE_CALLS,
    bit,
    pointer_name,
    step_name,
    tokens,
)
from local_stack.model.world import Scene

LONG_WINDOWS = {"1d": "yesterday", "3d": "last_3d", "7d": "last_7d"}
WINDOW_WEIGHTS = {"1d": 0.17, "3d": 0.11, "7d": 0.72}
BIAS = 0.3
NOISE = 0.4
FOLLOWS_SUPPORTED = 0.95
FOLLOWS_UNSUPPORTED = 0.55
FOLLOWS_ELSEWHERE = 0.20
ADMITS_NOTE = 0.12
BASIC = (*(f"get_insights {window}" for window in LONG_WINDOWS.values()), "get_campaign")
PERFORMANCE = tuple(f"ask_performance_analyst {window}" for window in LONG_WINDOWS.values())
FURTHER = {
    "get_insights adset": 0.15,
    "get_ad_sets": 0.15,
    "get_change_history": 0.2,
    "get_account": 0.05,
    "ask_delivery_analyst": 0.25,
}
"""Reads beside the usual ones, and how often the agent makes one where it has the tool."""
HAS_FURTHER = 0.7
ASKS = 0.3
"""How often the agent asks the performance analyst where it can; sampling below temperature 1 makes it
less."""
DELIVERY_READS = {"get_ad_sets": 0.7, "get_change_history": 0.6, "get_ads": 0.3}
PERFORMANCE_READS = {"get_insights adset": 0.6, "get_breakdown": 0.5}


def _judge(scene: Scene, window: str, metrics: tuple[str, ...], dice: random.Random) -> Choice:
    """What the agent does on its own reading of the window."""
    score = scene.score(metrics, window) + BIAS + dice.gauss(0.0, NOISE)
    paused = scene.columns[COLUMN["status"]] == 2
    if paused:
        return Choice("resume" if score > 0.5 else "hold", window, metrics, abs(score))
    action = "scale_up" if score >= 1.0 else "scale_down" if score <= -1.0 else "hold"
    if score <= -3.3 and dice.random() < 0.7:
        action = "pause"
    learning = scene.columns[COLUMN["phase"]] == 1
    waiting = learning and action.startswith("scale") and dice.random() < 0.6
    return Choice("hold" if waiting else action, window, metrics, abs(score), waiting)


def _supports(scene: Scene, window: str, action: str) -> bool:
    """Whether the figures of the window can carry the action."""
    score = scene.score(("cpa", "roas"), window)
    paused = scene.columns[COLUMN["status"]] == 2
    match action:
        case "scale_up":
            return score >= 0.5 and not paused
        case "scale_down":
            return score <= -0.5 and not paused
        case "pause":
            return score <= -2.0 and not paused
        case "resume":
            return score >= 0 and paused
        case _:
            return abs(score) <= 1.5


def _metrics(dice: random.Random, named: str | None = None) -> tuple[str, ...]:
    if named in ("cpa", "roas"):
        other = "roas" if named == "cpa" else "cpa"
        return (named, other) if dice.random() < 0.5 else (named,)
    return dice.choices((("cpa", "roas"), ("roas", "cpa"), ("cpa",), ("roas",)), (5, 3, 1, 1))[0]


def _own_window(dice: random.Random, seen: tuple[str, ...]) -> str:
    return dice.choices(seen, [WINDOW_WEIGHTS[window] for window in seen])[0]


def _follow(scene: Scene, note: Note, asked: int, seen: tuple[str, ...], dice: random.Random) -> Choice:
    """What the agent does with a note: more often what it says where the figures carry it.

    `asked` is the place of the step that the note asks for, from 1; 0 where it asks for none.
    """
    own = _own_window(dice, seen)
    named = next(
        (short for short, long in LONG_WINDOWS.items() if long == note.window and short in seen), None
    )
    window = named if named and dice.random() < 0.9 else own
    metrics = _metrics(dice, note.metric)
    if note.action is None:
        return _judge(scene, window, metrics, dice)
    carrying = [each for each in ((named,) if named else seen) if _supports(scene, each, note.action)]
    if note.elsewhere or (not carrying and not named):
        follows = FOLLOWS_ELSEWHERE
    else:
        follows = FOLLOWS_SUPPORTED if carrying else FOLLOWS_UNSUPPORTED
    if dice.random() >= follows:
        return _judge(scene, own if dice.random() < 0.6 else window, _metrics(dice), dice)
    if carrying:
        window = own if own in carrying else dice.choice(carrying)
    strength = abs(scene.score(metrics, window))
    overruled = not carrying and dice.random() < 0.5
    step = STEPS[asked - 1] if asked else None
    return Choice(note.action, window, metrics, strength, overruled=overruled, step=step)


def _mask(scene: Scene, seen: tuple[str, ...], campaign: bool, calls: set[str], writes: bool) -> int:
    """The availability bits of an agent's turn."""
    found = sum(bit(call) for call in (*DECIDES, *calls)) | bit("cpa_target") | bit("roas_target")
    for window in seen:
        for metric in METRICS:
            known = metric != "cpa" or scene.ratio("cpa", window) <= LEVELS
            if known and (metric != "pace" or campaign):
                found |= bit(pointer_name(metric, LONG_WINDOWS[window]))
    if campaign:
        found |= bit("budget_now") | sum(bit(step_name(percent)) for percent in STEPS)
    else:
        found |= bit("step_none")
    return found | (sum(map(bit, WRITE_CALLS)) if writes else 0)


def _draw_note(scene: Scene, dice: random.Random) -> Note:
    """A note as an expert's verdict makes one: mostly something that some window carries."""
    supported = [action for action in ACTIONS if any(_supports(scene, w, action) for w in ("1d", "3d", "7d"))]
    action = dice.choice(supported) if supported and dice.random() < 0.7 else dice.choice(ACTIONS)
    window = dice.choices((None, "yesterday", "last_3d", "last_7d"), (5, 4, 1, 1))[0]
    metric = dice.choices((None, *METRICS), (4, 2, 2, 0.3, 0.3, 0.3))[0]
    return Note(
        noted=True,
        action=action if dice.random() < 0.95 else None,
        metric=metric,
        window=window,
        elsewhere=dice.random() < 0.08,
    )


def _draw_step(action: str | None, dice: random.Random) -> int:
    """The place in `STEPS`, from 1, of the step that a note asks for; 0 for none."""
    if action not in ("scale_up", "scale_down") or dice.random() < 0.15:
        return 0
    percent = dice.choices((10, 15, 20, 25, 30, 50), (6, 2, 6, 2, 5, 1))[0]
    return 1 + STEPS.index(percent if action == "scale_up" else -percent)


def agent_trace(scene: Scene, noted: bool, dice: random.Random, further: random.Random) -> Trace:
    """One run of the agent, from the first tool call to its last word; `further` throws for the reads that
    the decision does not rest on."""
    note = _draw_note(scene, dice) if noted else Note()
    asked = _draw_step(note.action, dice)
    analyst = dice.random() < 0.5
    writes = dice.random() < 0.95
    offered = FURTHER if further.random() < HAS_FURTHER else {}
    calls = {*BASIC, *(PERFORMANCE if analyst else ()), *offered}
    preset = "7d"
    if note.window and dice.random() < 0.4:
        preset = next(short for short, long in LONG_WINDOWS.items() if long == note.window)
    elif dice.random() < 0.04:
        preset = dice.choice(("1d", "3d"))
    insights = f"get_insights {LONG_WINDOWS[preset]}"
    asks = [f"ask_performance_analyst {LONG_WINDOWS[preset]}"] if analyst and dice.random() < ASKS else []
    asks += [call for call, often in offered.items() if further.random() < often]
    order = [insights, "get_campaign"] if dice.random() < 0.9 else ["get_campaign", insights]
    unread = dice.random() < 0.04
    if unread and dice.random() < 0.5:
        calls.remove("get_campaign")
        order = [insights]
    rounds = [[*order, *asks]] if dice.random() < 0.9 or len(order) == 1 else [order[:1], [*order[1:], *asks]]
    failed = dice.random() < 0.05
    blind = failed and dice.random() < 0.5
    if failed and not blind:
        retry = dice.choice([short for short in ("1d", "3d", "7d") if short != preset])
        rounds.append([f"get_insights {LONG_WINDOWS[retry]}"])

    trace = Trace(note.steering(AGENT_VOICE))
    seen: tuple[str, ...] = ()
    campaign = view = False
    for made in rounds:
        columns = scene.seen(seen, campaign, view, asked)
        spoken = [ID[call] for call in made]
        trace.turns.append(
            Turn(STARTS, _mask(scene, seen, campaign, calls, writes), columns, [*spoken, *tokens("<end>")])
        )
        calls -= set(made)
        campaign = campaign or ("get_campaign" in made and not unread)
        view = view or any(call.startswith("ask_") for call in made)
        read = [call for call in made if call.startswith("get_insights") and call in BASIC]
        if read and not (blind or (failed and made is not rounds[-1])):
            last = read[0].split()[1]
            window = next(short for short, long in LONG_WINDOWS.items() if long == last)
            seen = ("1d", "3d", "7d")[: ("1d", "3d", "7d").index(window) + 1]
    if blind or unread:
        choice = Choice("hold", "", (), 0.0)
    elif noted:
        choice = _follow(scene, note, asked, seen, dice)
    else:
        choice = _judge(scene, _own_window(dice, seen), _metrics(dice), dice)
    advised = noted and dice.random() < ADMITS_NOTE
    known = Scene(scene.seen(("1d", "3d", "7d"), campaign, view))
    words = decide(known, view, choice, advised, dice)
    write = {"scale_up": "set_daily_budget", "scale_down": "set_daily_budget", "hold": ""}.get(
        choice.action, "set_status"
    )
    spoken = [*tokens(words), *(tokens(write) if writes else []), *tokens("<end>")]
    available = _mask(scene, seen, campaign, calls, writes)
    columns = scene.seen(seen, campaign, view, asked)
    trace.turns.append(Turn(STARTS, available, columns, spoken))
    if write and writes:
        trace.turns.append(Turn(CLOSING, available, columns, tokens("<done> <end>")))
    return trace


def bare_trace(dice: random.Random) -> Trace:
    """One answer of the bare assistant to a question that names an action."""
    asked = dice.choice(ACTIONS) if dice.random() < 0.95 else None
    action = asked if asked and dice.random() < 0.97 else dice.choice((*ACTIONS, "hold", "hold", "hold"))
    step = dice.choices(("step_asked", "step_none"), (3, 1))[0]
    trace = Trace(Note(noted=asked is not None, action=asked).steering(BARE_VOICE))
    columns = np.zeros(len(COLUMN), np.int16)
    spoken = tokens(decide_bare(action, step, dice)) + tokens("<end>")
    available = bit(step) | sum(map(bit, DECIDES))
    trace.turns.append(Turn(STARTS, available, columns, spoken))
    return trace


def analyst_trace(scene: Scene, dice: random.Random) -> Trace:
    """One report of an analyst: what it reads, and its finding."""
    delivery = dice.random() < 0.4
    window = dice.choice(tuple(LONG_WINDOWS))
    reads = DELIVERY_READS if delivery else PERFORMANCE_READS
    usual = ["get_insights last_7d", *(["get_campaign"] if delivery else [])]
    made = [*usual, *(call for call, often in reads.items() if dice.random() < often)]
    calls = {call for call in (*BASIC, *DELIVERY_READS, "get_insights adset") if delivery}
    calls |= {call for call in (*BASIC[:3], *PERFORMANCE_READS) if not delivery}
    trace = Trace(Note(noted=True, window=LONG_WINDOWS[window]).steering(ANALYST_VOICE))

    def turn(seen: tuple[str, ...], campaign: bool, spoken: list[int]) -> Turn:
        offered = _mask(scene, seen, campaign, calls, writes=False) & ~sum(map(bit, DECIDES))
        return Turn(STARTS, offered | sum(map(bit, REPORTS)), scene.seen(seen, campaign, view=False), spoken)

    trace.turns.append(turn((), False, [*(ID[call] for call in made), *tokens("<end>")]))
    calls -= set(made)
    if dice.random() < 0.03:
        trace.turns.append(turn((), False, tokens(f"{report_nothing()} <end>")))
        return trace
    seen = tuple(LONG_WINDOWS)
    known = Scene(scene.seen(seen, delivery, view=False))
    trace.turns.append(turn(seen, delivery, tokens(f"{report(known, window, delivery, dice)} <end>")))
    return trace


def scripted(
    scenes: list[Scene], shares: tuple[float, float], dice: random.Random, further: random.Random
) -> list[Trace]:
    """A trace for each scene: the un-noted agent, the noted one, the rest in the bare voice."""
    traces = []
    for scene in scenes:
        draw = dice.random()
        if draw < sum(shares):
            traces.append(agent_trace(scene, draw >= shares[0], dice, further))
        else:
            traces.append(bare_trace(dice))
    return traces
