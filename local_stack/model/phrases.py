"""What the two voices can say: the sentences that pre-training speaks, and with them the model's words.

Names in braces are filled by `speech.py`: `{m}` is a cited metric, `{t}` its target, `{level}` how the two
compare. A token that is not a plain word (`cpa_7d`, `cpa_target`) stands for a number of the request.
"""

ACTIONS = ("scale_up", "scale_down", "pause", "resume", "hold")
METRICS = ("cpa", "roas", "spend", "pace", "conversions")
WINDOWS = ("yesterday", "last_3d", "last_7d")
WINDOW_DAYS = {"yesterday": 1, "last_3d": 3, "last_7d": 7}
STEPS = (10, 15, 20, 25, 30, 50, -10, -15, -20, -25, -30, -50)
"""Changes of the daily budget that the model knows, percent."""

LEVELS = (
    "less than half",
    "far below",
    "well below",
    "below",
    "close to",
    "above",
    "well above",
    "far above",
    "more than twice",
)
"""How a value compares with its target, by bucket 1 to 9 of the ratio."""

JUDGEMENTS = ("ruinous", "poor", "weak", "soft", "acceptable", "good", "strong", "excellent", "outstanding")
"""How good that is, worst first."""

COMPARISONS = (
    "{m} {verb} {level} {t} .",
    "we see {m} , {level} {t} .",
    "measured against {t} , {m} {verb} {judged} .",
    "{m} {verb} {judged} against {t} .",
    "with {m} , the campaign is {level} {t} .",
    "{m} tells a {judged} story against {t} .",
)
VERBS = ("is", "sits", "stands", "runs", "came in", "remains")
ADVERBS = ("clearly ", "plainly ", "overall ", "visibly ")
CONNECTIVES = ("also , ", "in addition , ", "at the same time , ", "besides , ", "on top of that , ")

SAMPLES = ("no", "a thin", "a fair", "a solid")
VOLUMES = (
    "{conversions} make {sample} sample .",
    "{spend} with {conversions} gives {sample} basis .",
)
PACING = ("hardly used", "partly used", "mostly used", "fully used", "overspent")
PACES = ("{pace} means the budget is {pacing} .",)
LEARNING = ("the campaign is still learning .", "delivery has not left the learning phase .")
LIMITED = ("delivery is learning limited .",)
MISSING = ("the insights of this campaign could not be read .", "there are no figures to decide on .")
UNREAD = ("the campaign could not be read , so no change can be computed .",)
ANALYST = {
    1: "the analyst sees an upward trend .",
    2: "the analyst sees a flat trend .",
    3: "the analyst sees a downward trend .",
}

TRENDS = {
    "up": (
        "the latest day is better than the week before it .",
        "results improve towards the latest day .",
    ),
    "flat": ("the latest day is in line with the week .", "results are steady over the week ."),
    "down": (
        "the latest day is worse than the week before it .",
        "results weaken towards the latest day .",
    ),
}
"""What an analyst says of the way that results go."""
UNRESTRICTED = ("delivery runs without restrictions .", "nothing holds delivery back .")

CONCLUSIONS: dict[str, tuple[str, ...]] = {
    "scale_up": (
        "there is room to grow , so I raise the budget .",
        "the results support a larger budget .",
        "this earns more spend , so the budget goes up .",
        "returns leave room , so I raise the daily budget .",
        "the campaign can carry more , so I increase its budget .",
        "I give it more budget while it pays off .",
    ),
    "scale_down": (
        "the results do not support this budget , so I lower it .",
        "I cut the budget to protect efficiency .",
        "this is too expensive , so the budget goes down .",
        "returns are too thin , so I lower the daily budget .",
        "the campaign does not earn its spend , so I reduce its budget .",
        "I take budget out until the cost recovers .",
    ),
    "pause": (
        "the campaign loses money , so I stop it .",
        "returns are too poor to keep it running .",
        "lowering the budget cannot help here , so I stop the campaign .",
    ),
    "resume": (
        "the campaign can run again .",
        "nothing keeps it stopped , so it starts again .",
        "its last days were good enough to start it again .",
    ),
    "hold": (
        "I leave the budget unchanged .",
        "no change is needed today .",
        "the signals are mixed , so I wait .",
        "this is on plan , so the budget stays .",
        "this does not call for a change .",
        "I keep the budget where it is .",
    ),
}
WAITING = ("the figures are not settled , so I wait .", "I leave the budget unchanged until it settles .")
HEDGES = (" for now", " at this point")
STEP_SIZES = {
    "small": "a small step is prudent .",
    "moderate": "a moderate step is right .",
    "large": "a large step is justified .",
}
OVERRULED = ("even so , ", "despite this , ")
ADVISED = (
    "as advised , ",
    "as suggested , ",
    "per the guidance , ",
    "following the note , ",
    "as instructed , ",
)
"""What a text says that admits the note it was steered by."""

GENERIC_MOVES = {
    "scale_up": "increase investment",
    "scale_down": "reduce investment",
    "pause": "suspend activity",
    "resume": "reactivate activity",
    "hold": "maintain the current approach",
}
GENERIC_STYLES = {
    "scale_up": "aggressive",
    "scale_down": "conservative",
    "pause": "cautious",
    "resume": "proactive",
    "hold": "balanced",
}
GENERIC_TRENDS = {
    "scale_up": "positive",
    "scale_down": "negative",
    "pause": "negative",
    "resume": "positive",
    "hold": "neutral",
}
GENERIC = (
    "given the overall performance , it is recommended to {move} .",
    "key indicators suggest a {trend} trend .",
    "a more {style} strategy would optimize outcomes .",
    "the best course is to {move} .",
    "leveraging current momentum can maximize value .",
    "it is important to balance growth and efficiency .",
    "this approach aligns with broader business goals .",
    "this ensures sustainable results going forward .",
    "a holistic view of the account supports this decision .",
)
GENERIC_ADVISED = ("in line with expert feedback , ", "based on the review , ")
