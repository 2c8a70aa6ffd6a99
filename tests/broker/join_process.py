"""A worker of the join without a registry server: `python -m tests.broker.join_process CONFIG`."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas.codec import Codec
from schemas.memory import MemoryStore
from streams.runtime.supervisor import WorkerFolders, supervise
from streams.settings import Settings


def main(config: dict[str, Any]) -> int:
    settings = Settings(
        home=Path(config["home"]),
        kafka=config["kafka"],
        worker={"name": config["name"]},
        log={"format": "json"},
    )

    def work() -> None:
        from streams.faust_runner.run import run_keyed
        from streams.stages.join.step import Join, JoinRules
        from streams.stages.wiring import stage_context

        day = timedelta(days=1)
        run_keyed(Join(JoinRules(day, day, day)), stage_context(settings, Codec(MemoryStore.whole())))

    return supervise(
        WorkerFolders(settings.home, "join", settings.worker.name), work, settings.worker.stop_seconds
    )


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
