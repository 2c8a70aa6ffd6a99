"""From a verdict's acknowledgement to its first replay request, at 100 corrected verdicts a second.

`python -m bench.request_latency [--seconds 20] [--rate 100] [--warm 10]`, on a stack of its own with all
workers; replays are paused meanwhile. The verdicts of the first `warm` seconds are not counted: the broker
has just started and compiles its code. Exit code 3 where p99 is over the target or a request never came.
The second table says which process the time of the processors goes to.
"""

import argparse
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
from confluent_kafka import Producer

from agent.media_buyer.definition import artifacts, media_buyer
from local_stack.home import Home
from local_stack.supervise import Supervisor
from schemas.identity import decision_key
from schemas.records import ReplayRequest
from schemas.registry import make_codec
from streams.runtime.kafka_clients import make_consumer, producer_config
from streams.runtime.model_runs.pause import publish_pause
from testkit.builders import action, decision, verdict
from testkit.running_stack import RunningStack, running_stack

TARGET_P99_SECONDS = 0.5


def main() -> None:
    """Prints p50, p99 and what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--warm", type=float, default=10)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="opoi-bench-") as folder,
        running_stack(Path(folder) / "home", workers=True) as stack,
    ):
        if given.warm:
            measure(stack, given.warm, given.rate)
        waits, missing, spent = measure(stack, given.seconds, given.rate)
    p50, p99 = np.percentile(waits, [50, 99])
    print("| verdicts | a second | p50 ms | p99 ms | target p99 ms | not seen |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(waits) + missing} | {given.rate:g} | {p50 * 1000:.0f} | {p99 * 1000:.0f} "
        f"| {TARGET_P99_SECONDS * 1000:.0f} | {missing} |"
    )
    print("\n| process | processor ms a verdict |")
    print("|---|---|")
    for name, seconds in sorted(spent.items(), key=lambda one: -one[1]):
        print(f"| {name} | {seconds * 1000 / (len(waits) + missing):.1f} |")
    raise SystemExit(3 if missing or p99 > TARGET_P99_SECONDS else 0)


def processor_seconds(home: Home) -> dict[str, float]:
    """What each process of the stack has used so far, with what it keeps."""
    used: dict[str, float] = defaultdict(float)
    for state in Supervisor(home).states():
        if state.pid is not None:
            process = psutil.Process(state.pid)
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                used[state.name] += times.user + times.system
    used["this benchmark"] = time.process_time()
    return used


def measure(stack: RunningStack, seconds: float, rate: float) -> tuple[Any, int, dict[str, float]]:
    """Seconds from each verdict's acknowledgement to its request, how many requests never came, and processor
    seconds by process."""
    settings = stack.settings
    codec = make_codec(settings)
    ids = {one.kind: one.artifact_id for one in artifacts(media_buyer(), datetime.now(UTC))}
    count, run = round(seconds * rate), uuid4().hex[:8]
    acknowledged: dict[str, float] = {}
    seen: dict[str, float] = {}
    publish_pause(settings.kafka, "replay", paused=True, reason="bench")

    producer = Producer({**producer_config(settings.kafka), "linger.ms": 0})
    made = [
        decision(
            f"{run}-{number}",
            account_id=f"a{number % 50}",
            prompt_id=ids["system_prompt"],
            toolset_id=ids["toolset"],
            spec_id=ids["agent_spec"],
        )
        for number in range(count)
    ]
    for one in made:
        key = decision_key(one.agent, one.decision_id)
        producer.produce("agent.decisions", codec.encode("agent.decisions", one), key)
        producer.poll(0)
    producer.flush()
    time.sleep(10)

    consumer = make_consumer(settings.kafka, f"bench-{run}", **{"auto.offset.reset": "latest"})
    assigned = threading.Event()
    consumer.subscribe(["opoi.replay-requests"], on_assign=lambda *_: assigned.set())
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                now = time.monotonic()
                request = codec.decode_as("opoi.replay-requests", message.value(), ReplayRequest)
                seen.setdefault(request.decision_id, now)

    reader = threading.Thread(target=read)
    reader.start()
    assigned.wait(30)
    time.sleep(1)

    used = processor_seconds(stack.home)
    begun = time.monotonic()
    for number, one in enumerate(made):
        due = begun + number / rate
        while (left := due - time.monotonic()) > 0:
            producer.poll(min(left, 0.005))
        given_verdict = verdict(
            one.decision_id,
            kind="correct",
            verdict_id=f"v-{one.decision_id}",
            account_id=one.account_id,
            corrected_action=action("hold"),
        )

        def told(error: Any, _: Any, decision_id: str = one.decision_id) -> None:
            if error is None:
                acknowledged[decision_id] = time.monotonic()

        producer.produce(
            "expert.verdicts",
            codec.encode("expert.verdicts", given_verdict),
            decision_key(one.agent, one.decision_id),
            on_delivery=told,
        )
    producer.flush()
    give_up = time.monotonic() + 30
    while len(seen) < count and time.monotonic() < give_up:
        time.sleep(0.1)
    spent = {name: total - used.get(name, 0.0) for name, total in processor_seconds(stack.home).items()}
    stop.set()
    reader.join()
    consumer.close()

    waits = np.array([max(0.0, seen[one] - acknowledged[one]) for one in seen if one in acknowledged])
    return waits, count - len(waits), spent


if __name__ == "__main__":
    main()
