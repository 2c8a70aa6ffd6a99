"""Tuning jobs: gradient steps from a model's weights on supervised rows, in a separate thread."""

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

import structlog

from local_stack.model.caches import timestamp
from local_stack.model.dataset import BadRow, read_dataset
from local_stack.model.errors import ApiError, invalid
from local_stack.model.files import write_whole
from local_stack.model.registry import BASE_NAME, Registry, short_name
from local_stack.model.weights import Fitter, fork
from local_stack.model.wire import mapping, member
from schemas.log_events import TUNING_FAILED

DEFAULT_EPOCHS = 3
MAXIMUM_EPOCHS = 100
RATE = 0.1
"""Learning rate at a multiplier of 1."""
ORDER_SEED = 1
"""Seed of the order of rows: the same rows give the same model."""
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
log = structlog.get_logger()


@dataclass(slots=True)
class Job:
    """A tuning job: the resource as Google shows it, and the losses, which Google shows elsewhere."""

    resource: dict[str, Any]
    losses: list[dict[str, float | int | None]] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)

    @property
    def short(self) -> str:
        """The job's id, which is also the name of its model."""
        return short_name(str(self.resource["name"]))


class Jobs:
    """All tuning jobs of a folder; those that a stop interrupted are run again."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tuning")
        self._jobs: dict[str, Job] = {}
        for path in sorted(folder.glob("*.json")):
            stored = json.loads(path.read_text(encoding="utf-8"))
            job = Job(stored["resource"], stored["losses"])
            self._jobs[job.short] = job
            if job.resource["state"] not in ENDED:
                self._worker.submit(self._run, job)

    def close(self) -> None:
        """Stop after the present epoch; the next start continues the job."""
        with self._lock:
            for job in self._jobs.values():
                job.stopped.set()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a job; its resource. Raises ApiError."""
        spec = mapping(body, "supervisedTuningSpec")
        if not member(spec, "trainingDatasetUri"):
            raise invalid(
                "supervisedTuningSpec.trainingDatasetUri is required: the one method here is supervised."
            )
        pre_tuned = member(mapping(body, "preTunedModel"), "tunedModelName")
        base = str(pre_tuned or member(body, "baseModel", ""))
        self._registry.get(base)
        settings = mapping(spec, "hyperParameters")
        epochs = _positive(settings, "epochCount", DEFAULT_EPOCHS, MAXIMUM_EPOCHS)
        rate = _positive(settings, "learningRateMultiplier", 1.0, 100.0)
        short = str(secrets.randbelow(9 * 10**17) + 10**17)
        now = timestamp(datetime.now(UTC))
        tuning_spec = {
            "trainingDatasetUri": member(spec, "trainingDatasetUri"),
            "hyperParameters": {"epochCount": str(int(epochs)), "learningRateMultiplier": rate},
        }
        if member(spec, "validationDatasetUri"):
            tuning_spec["validationDatasetUri"] = member(spec, "validationDatasetUri")
        resource: dict[str, Any] = {
            "name": f"{parent}/tuningJobs/{short}" if parent else f"tuningJobs/{short}",
            "tunedModelDisplayName": str(member(body, "tunedModelDisplayName", short)),
            ("preTunedModel" if pre_tuned else "baseModel"): (
                {"tunedModelName": base} if pre_tuned else base
            ),
            "supervisedTuningSpec": tuning_spec,
            "state": "JOB_STATE_PENDING",
            "createTime": now,
            "updateTime": now,
        }
        for name in ("labels", "description"):
            if member(body, name):
                resource[name] = member(body, name)
        job = Job(resource)
        self._jobs[short] = job
        self._store(job)
        self._worker.submit(self._run, job)
        return resource

    def get(self, name: str) -> Job:
        """A job by id or resource name. Raises ApiError 404."""
        job = self._jobs.get(short_name(name))
        if job is None:
            raise ApiError(404, f"TuningJob {name!r} is not found.")
        return job

    def list(self) -> list[dict[str, Any]]:
        """All jobs, the newest first."""
        resources = [job.resource for job in self._jobs.values()]
        return sorted(resources, key=lambda resource: str(resource["createTime"]), reverse=True)

    def cancel(self, name: str) -> None:
        """Stop a job after the present epoch; an ended one stays as it is. Raises ApiError 404."""
        job = self.get(name)
        with self._lock:
            if job.resource["state"] not in ENDED:
                job.stopped.set()
                self._set(job, "JOB_STATE_CANCELLED")

    def _run(self, job: Job) -> None:
        try:
            self._fit(job)
        except (BadRow, ApiError) as error:
            message = error.message if isinstance(error, ApiError) else str(error)
            with self._lock:
                self._set(job, "JOB_STATE_FAILED", error={"code": 3, "message": message})
        except Exception as error:  # noqa: BLE001  whatever it is, the job ends and says so
            TUNING_FAILED.emit(log, job=job.short, exc_info=error)
            with self._lock:
                self._set(job, "JOB_STATE_FAILED", error={"code": 13, "message": f"internal: {error}"})

    def _fit(self, job: Job) -> None:
        with self._lock:
            if job.stopped.is_set():
                return
            self._set(job, "JOB_STATE_RUNNING", startTime=timestamp(datetime.now(UTC)))
        spec = job.resource["supervisedTuningSpec"]
        settings = spec["hyperParameters"]
        training = read_dataset(spec["trainingDatasetUri"])
        held_out = spec.get("validationDatasetUri")
        validation = read_dataset(held_out) if held_out else None
        base = job.resource.get("baseModel") or job.resource["preTunedModel"]["tunedModelName"]
        start = fork(self._registry.get(base), training.corpus)
        fitter = Fitter(start, training.corpus, RATE * settings["learningRateMultiplier"], ORDER_SEED)
        job.losses.clear()
        for epoch in range(1, int(settings["epochCount"]) + 1):
            loss = fitter.epoch()
            if job.stopped.is_set():
                return
            left_out = fitter.weights.loss(validation.corpus) if validation else None
            job.losses.append({"epoch": epoch, "training": loss, "validation": left_out})
        self._registry.add(job.short, fitter.weights)
        parent = job.resource["name"].rpartition("/tuningJobs/")[0]
        prefix = f"{parent}/" if parent else ""
        name = short_name(str(base))
        version = 1 if name == BASE_NAME else int(str(base).partition("@")[2] or 1) + 1
        statistics: dict[str, Any] = {
            "tuningDatasetExampleCount": str(training.rows),
            "tuningStepCount": str(len(training.corpus) * int(settings["epochCount"])),
            "totalTruncatedExampleCount": "0",
        }
        if training.dropped:
            statistics["droppedExampleReasons"] = training.dropped
        with self._lock:
            if not job.stopped.is_set():
                self._set(
                    job,
                    "JOB_STATE_SUCCEEDED",
                    tunedModel={
                        "model": f"{prefix}models/{job.short}@{version}",
                        "endpoint": f"{prefix}endpoints/{job.short}",
                    },
                    tuningDataStats={"supervisedTuningDataStats": statistics},
                )

    def _set(self, job: Job, state: str, **members: Any) -> None:
        now = timestamp(datetime.now(UTC))
        changed = {**job.resource, **members, "state": state, "updateTime": now}
        if state in ENDED:
            changed["endTime"] = now
        job.resource = changed
        self._store(job)

    def _store(self, job: Job) -> None:
        text = json.dumps({"resource": job.resource, "losses": job.losses}, indent=1).encode()
        write_whole(self._folder / f"{job.short}.json", lambda file: file.write(text))


def _positive(settings: Mapping[str, Any], name: str, default: float, high: float) -> float:
    value = member(settings, name, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= high:
        raise invalid(f"hyperParameters.{name} is {value!r}; it must be above 0 and at most {high:g}.")
    return number
