"""Gates: pure functions that say whether a conversation may become a training row.

Each answers with one immutable result; `battery.judge` runs them in order and stops at the first
refusal. The order and what each looks for are described in docs/gates.md.
"""
