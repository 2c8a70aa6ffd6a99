"""Names of the topics that a stage has of its own."""

RETRY = "opoi.retry."
"""Before a stage's name: the topic that its dead letters are redriven to."""
TICKS = "opoi.ticks."
"""Before a keyed stage's name: the topic that is its clock."""
