"""Gates: pure functions that say whether a conversation may become a training row.

Each returns one immutable result. `battery.judge` runs them in order and stops at the first
refusal. docs/gates.md describes the order and what each refuses.
"""
