"""A worker of the pairing stage, as the benches and fault tests start it: `python -m testkit.faust.stage`."""

import argparse
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from testkit.faust.pairs import CountStep, PairStep, PlainCodec, kafka, specs, stage_spec


def main() -> None:
    """Runs a worker of the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--name", default="1")
    parser.add_argument("--expire", type=float)
    parser.add_argument("--settings", default="{}", help="worker settings as JSON")
    parser.add_argument(
        "--break-fetch", type=float, metavar="SECONDS", help="after these aiokafka's fetch dies"
    )
    parser.add_argument("--plain", metavar="STORE", help="the same agent on Faust as it is, with this store")
    parser.add_argument("--stateless", action="store_true", help="count the halves instead of pairing them")
    given = parser.parse_args()
    expire = timedelta(seconds=given.expire) if given.expire is not None else None
    step = PairStep(given.stage, expire)
    codec = PlainCodec(given.stage, given.home / "registry-away")
    if given.plain:
        from testkit.faust.plain import run_plain

        run_plain(step, codec, kafka(given.bootstrap, given.stage), given.home / given.name, given.plain)
    from streams.runtime.supervisor import WorkerFolders, supervise
    from streams.settings import WorkerSettings

    worker = WorkerSettings(name=given.name, **json.loads(given.settings))

    def work() -> None:
        from streams.faust_runner.run import StageContext, run_keyed, run_stateless
        from streams.settings import LogSettings

        if given.break_fetch is not None:
            break_fetch(given.break_fetch)
        around = StageContext(
            codec,
            kafka(given.bootstrap, given.stage),
            given.home,
            worker,
            log=LogSettings(format="json"),
            topics=specs(given.stage),
            stages={given.stage: stage_spec(given.stage, keyed=not given.stateless)},
        )
        if given.stateless:
            run_stateless(CountStep(given.stage), around)
        run_keyed(step, around)

    raise SystemExit(supervise(WorkerFolders(given.home, given.stage, given.name), work, worker.stop_seconds))


def break_fetch(seconds: float) -> None:
    """Lets the task die in which aiokafka fetches, `seconds` from now."""
    from aiokafka.consumer.fetcher import Fetcher

    fetch, at = Fetcher._get_actions_per_node, time.monotonic() + seconds

    def dies(self: Any, assignment: Any) -> Any:
        if time.monotonic() > at:
            raise RuntimeError("this fetch was to die")
        return fetch(self, assignment)

    Fetcher._get_actions_per_node = dies


if __name__ == "__main__":
    main()
