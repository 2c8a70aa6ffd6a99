"""The stages: one folder each, a pure step and its worker. Importing this imports none of them."""

STAGES = {
    "join": "streams.stages.join.worker:run",
    "trigger": "streams.stages.trigger.worker:run",
    "replay": "streams.stages.replay.worker:run",
    "sanitize": "streams.stages.sanitize.worker:run",
    "sink": "streams.stages.sink.worker:run",
    "ticker": "streams.stages.ticker.worker:run",
}
"""`module:function` of the worker of each stage of `schemas/stages.yaml`; it runs with the settings in its
own process."""
