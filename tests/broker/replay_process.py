"""A replay worker as a process whose agent is a script: `python -m tests.broker.replay_process CONFIG`.

The decision's id says what the run does: `fast`, `slow`, `bug`, `crash`, `large`; while the file `away` is
there, every run finds the model away, while `registry_away` is, the registry is. Each run that begins is a
line in the file of starts. With the `model_url` of a server the agent is no script: it is the worker's own.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from agent.ports import ModelAway
from schemas.codec import Codec
from schemas.errors import RegistryAway
from schemas.memory import MemoryStore
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.runtime import process
from streams.runtime.supervisor import WorkerFolders, supervise
from streams.settings import Settings
from streams.stages.replay.requests import STAGE
from streams.stages.replay.worker import BEYOND_DRAINING, agent_of, work
from testkit import builders

HAZE = random.Random(1).randbytes(9 * 512 * 1024).hex()


class Fickle:
    """A registry that is away while a file is there."""

    def __init__(self, away: Path) -> None:
        self._store = MemoryStore.whole()
        self._away = away

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        self._answer()
        return self._store.schema_of(schema_id)

    def subjects_of(self, schema_id: int) -> list[str]:
        self._answer()
        return self._store.subjects_of(schema_id)

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        self._answer()
        return self._store.id_of(subject, schema)

    def _answer(self) -> None:
        if self._away.exists():
            raise RegistryAway("the test says so")


def main(config: dict[str, Any]) -> NoReturn:
    settings = Settings(
        home=Path(config["home"]),
        kafka=config["kafka"],
        replay={key: config[key] for key in ("concurrency", "attempts_per_day", "answer_seconds")},
        worker={"name": config["name"], "stop_seconds": config["drain_seconds"] + BEYOND_DRAINING},
        model={"base_url": config["model_url"]},
    )
    folders = WorkerFolders(settings.home, STAGE, settings.worker.name)
    starts, away = Path(config["starts"]), Path(config["away"])

    def execute(request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        if away.exists():
            raise ModelAway("the test says so", attempts=2)
        with starts.open("a") as file:
            file.write(f"{request.replay_id} {os.getpid()} {decision.decision_id}\n")
        kind = decision.decision_id.split("-")[0]
        if kind == "bug":
            raise RuntimeError("a bug of ours")
        time.sleep(config["slow_seconds"] if kind == "slow" else config["fast_seconds"])
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        # two runs of one request are told apart
        turns = builders.conversation(f"Seen by {os.getpid()}.", builders.action(), request.oracle)
        trace = builders.trace(request, builders.action(), turns=turns)
        return trace.model_copy(update={"rationale": HAZE}) if kind == "large" else trace

    def begin() -> NoReturn:
        codec = Codec(Fickle(Path(config["registry_away"])))
        runs = agent_of(settings, codec) if config["model_url"] else execute
        process.run(STAGE, settings, lambda worker: work(worker, settings, codec, runs))

    if config["kept"]:
        sys.exit(supervise(folders, begin, settings.worker.stop_seconds))
    begin()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
