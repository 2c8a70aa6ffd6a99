"""The reference implementation of the contract: an agent of opoi's own runtime, served over HTTP."""

import threading
import time
import traceback
from dataclasses import dataclass, field

import httpx2
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.http.contract import OPENAPI, RUNS, RunRequest, RunStatus, RunTrace
from agent.http.exchange import Refused, answer, read, refusal
from agent.http.openapi import document
from agent.http.remote_tools import RemoteToolBox
from agent.http.verify_trace import with_oracle_part
from agent.ports import GenerationConfig, Model, ModelError, ModelReply, ModelRequest
from agent.run import AgentDefinition, Limits, Run
from agent.runtime import Runtime
from schemas.identity import canonical_json, sha256
from schemas.log_events import CALLBACK_FAILED, SERVICE_RUN_FAILED
from schemas.records import Usage

log = structlog.get_logger(__name__)

KEEP_SECONDS = 600.0
"""How long a run that has ended is kept at least."""
TOOL_SECONDS = 60.0
MOST_RUNS = 256
"""Runs in progress at once; more are refused with 429."""


@dataclass(slots=True)
class _Kept:
    body_hash: str
    trace: RunTrace | None = None
    away: str = ""
    """Why the run failed, where something that it needs did not answer."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    forget_at: float | None = None


class AgentService:
    """Serves one agent on one model. Thread-safe."""

    def __init__(self, agent: AgentDefinition, model: Model) -> None:
        self._agent = agent
        self._model = model
        # one for all runs: making a client reads the trust store, a tenth of a second
        self._client = httpx2.Client(timeout=TOOL_SECONDS, limits=httpx2.Limits(max_connections=MOST_RUNS))
        self._runs: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(RUNS, self._start, methods=["POST"]),
                Route(RUNS + "/{run_id}", self._status, methods=["GET"]),
                Route(RUNS + "/{run_id}", self._cancel, methods=["DELETE"]),
                Route(OPENAPI, lambda _: JSONResponse(document()), methods=["GET"]),
            ],
            exception_handlers={Refused: refusal},
        )

    def close(self) -> None:
        """Closes the connections; runs in progress fail."""
        self._client.close()

    async def _start(self, request: Request) -> Response:
        asked = await read(request, RunRequest)
        status = await run_in_threadpool(self._started, asked)
        return answer(200 if status.trace else 202, status)

    async def _status(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        kept = self._runs.get(run_id)
        if kept is None:
            raise Refused(404, "unknown_run", f"there is no run {run_id!r}")
        return answer(200, _standing(run_id, kept))

    async def _cancel(self, request: Request) -> Response:
        if (kept := self._runs.get(request.path_params["run_id"])) is not None:
            kept.cancelled.set()
        return Response(status_code=204)

    def _started(self, asked: RunRequest) -> RunStatus:
        body_hash = sha256(canonical_json(asked.model_dump(mode="json")))
        with self._lock:
            self._forget()
            known = self._runs.get(asked.run_id)
            if known is not None:
                if known.body_hash != body_hash:
                    raise Refused(409, "run_conflict", f"run {asked.run_id!r} was started with another body")
                return _standing(asked.run_id, known)
            if skew := self._skew(asked):
                raise Refused(409, "version_skew", skew)
            if sum(one.trace is None for one in self._runs.values()) >= MOST_RUNS:
                raise Refused(429, "busy", f"{MOST_RUNS} runs are under way", retry_after=1.0)
            kept = self._runs[asked.run_id] = _Kept(body_hash)
        threading.Thread(
            target=self._run, args=(asked, kept), name=f"run-{asked.run_id}", daemon=True
        ).start()
        return _standing(asked.run_id, kept)

    def _skew(self, asked: RunRequest) -> str:
        """Which parts of the request this service does not run; empty: none."""
        ours = {
            "agent": self._agent.spec.name,
            "agent_version": self._agent.spec.version,
            "prompt_id": self._agent.prompt_id,
            "toolset_id": self._agent.toolset_id,
        }
        differ = [name for name, value in ours.items() if getattr(asked.decision, name) != value]
        return f"{', '.join(differ)} of the decision are not those that are served" if differ else ""

    def _forget(self) -> None:
        now = time.monotonic()
        for run_id in [one for one, kept in self._runs.items() if (kept.forget_at or now + 1) <= now]:
            del self._runs[run_id]

    def _run(self, asked: RunRequest, kept: _Kept) -> None:
        try:
            trace = self._trace(asked, kept)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and says so
            # neither its text nor its frames' values: they may hold prompts and tokens
            frame = traceback.extract_tb(error.__traceback__)[-1]
            SERVICE_RUN_FAILED.emit(
                log,
                run_id=asked.run_id,
                error=type(error).__name__,
                at=f"{frame.filename}:{frame.lineno}",
            )
            trace = _failed(asked, f"service: {type(error).__name__}")
        with self._lock:
            kept.trace = trace
            kept.forget_at = time.monotonic() + max(KEEP_SECONDS, asked.budget.max_seconds)
        if asked.callback_url is not None and not kept.away and not kept.cancelled.is_set():
            self._call_back(asked, _standing(asked.run_id, kept))

    def _trace(self, asked: RunRequest, kept: _Kept) -> RunTrace:
        budget = asked.budget
        config = GenerationConfig.model_validate(asked.decision.generation_config)
        limits = Limits(
            max_turns=budget.max_turns,
            max_output_tokens=budget.max_output_tokens,
            max_seconds=budget.max_seconds,
        )
        try:
            run = Runtime(_Cancellable(self._model, kept.cancelled), limits).run(
                self._agent,
                with_oracle_part(asked.decision.question, asked.oracle),
                self._tools(asked),
                model_name=asked.decision.model,
                config=config,
                run_id=str(asked.seed),
                values=asked.decision.values,
            )
        except ModelError as error:
            kept.away = f"{type(error).__name__}: {error}"
            return _failed(asked, "away")
        return _told(asked, run)

    def _tools(self, asked: RunRequest) -> RemoteToolBox:
        return RemoteToolBox(
            self._agent.spec, self._agent.declarations, asked.tools_url, asked.tools_token, self._client
        )

    def _call_back(self, asked: RunRequest, status: RunStatus) -> None:
        assert asked.callback_url is not None
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {asked.tools_token}"}
            self._client.post(asked.callback_url, content=status.model_dump_json(), headers=headers)
        except httpx2.HTTPError as error:
            # the status is there to be polled
            CALLBACK_FAILED.emit(log, run_id=asked.run_id, error=type(error).__name__)


class _Cancellable:
    """A model that refuses further calls once the run is cancelled."""

    def __init__(self, model: Model, cancelled: threading.Event) -> None:
        self._model = model
        self._cancelled = cancelled

    def generate(self, request: ModelRequest) -> ModelReply:
        """As the model's own. Raises ModelError once cancelled."""
        if self._cancelled.is_set():
            raise ModelError("the run was cancelled")
        return self._model.generate(request)


def _standing(run_id: str, kept: _Kept) -> RunStatus:
    if kept.away:
        raise Refused(503, "away", kept.away)
    trace = kept.trace
    return RunStatus(run_id=run_id, state="ended" if trace else "running", trace=trace)


def _failed(asked: RunRequest, reason: str) -> RunTrace:
    question = with_oracle_part(asked.decision.question, asked.oracle)
    return RunTrace(
        run_id=asked.run_id,
        decision_id=asked.decision.decision_id,
        status="failed",
        reason=reason,
        turns=(question,),
        usage=Usage(),
        attempts=0,
    )


def _told(asked: RunRequest, run: Run) -> RunTrace:
    decided = run.decision if run.status == "completed" else None
    return RunTrace(
        run_id=asked.run_id,
        decision_id=asked.decision.decision_id,
        status=run.status,
        reason=run.reason,
        turns=run.turns,
        sub_agent_runs=run.sub_agent_runs,
        action=decided.action if decided else None,
        rationale=decided.rationale if decided else None,
        usage=run.usage,
        attempts=run.attempts,
    )
