"""opoi's requests to an agent over HTTP: each bounded in time and size, no redirect followed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import ValidationError

from agent.http.contract import RUNS, Problem, RunRequest, RunStatus
from agent.http.exchange import MOST_BYTES, faults
from agent.ports import ModelAway, QuotaExceeded

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""What the agent may take to answer one request; the run itself goes on behind it."""
CANCEL_SECONDS = 2.0
MOST_CONNECTIONS = 256


class AgentAway(ModelAway):
    """The agent cannot be reached, answers 5xx or rejects our token: wait and start the run again."""


class RunAway(AgentAway):
    """The agent says that what a run needs is away, and that it is over."""


class AgentRefused(Exception):
    """The agent does not take this run, or what it answers breaks the contract; `code` names which."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class AgentClient:
    """Speaks to the agent at `url`. Thread-safe."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            # as bytes, so that a token of any characters is the agent's to refuse; never packed, since a
            # packed answer of bounded length has none unpacked
            headers={
                b"Accept-Encoding": b"identity",
                **({b"Authorization": f"Bearer {token}".encode()} if token else {}),
            },
            limits=httpx2.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=False,
        )

    def start(self, request: RunRequest, seconds: float) -> RunStatus:
        """Start a run. Raises AgentAway, QuotaExceeded, AgentRefused."""
        body = request.model_dump_json().encode()
        found = self._asked("POST", RUNS, seconds, body)
        return self._status(found, request.run_id, (200, 202))

    def status(self, run_id: str, seconds: float) -> RunStatus:
        """How a run stands. Raises AgentAway, AgentRefused (`run_lost`: not known)."""
        found = self._asked("GET", f"{RUNS}/{run_id}", seconds)
        if found.status == 404:
            raise AgentRefused("run_lost", f"the agent no longer knows run {run_id}")
        return self._status(found, run_id, (200,))

    def cancel(self, run_id: str) -> None:
        """Say that a run's result is not wanted any more; whether the agent heard it does not matter."""
        try:
            self._asked("DELETE", f"{RUNS}/{run_id}", CANCEL_SECONDS)
        except (AgentAway, AgentRefused):
            return

    def send(self, method: str, path: str, seconds: float, body: bytes | None = None) -> Answer:
        """One request, whatever the answer's status. Raises AgentAway, AgentRefused."""
        end = time.monotonic() + seconds
        timeout = httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._client.stream(
                method, self.url + path, content=body, headers=headers, timeout=timeout
            ) as response:
                return Answer(response.status_code, self._read(response, end, seconds), response.headers)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise AgentRefused("endpoint", f"{self.url!r} is no address of an agent: {error}") from error
        except httpx2.TimeoutException as error:
            raise AgentAway(f"the agent at {self.url} did not answer within {seconds:g} s") from error
        except httpx2.HTTPError as error:
            raise AgentAway(f"the agent at {self.url} cannot be reached: {error}") from error

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    def _read(self, response: httpx2.Response, end: float, seconds: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise AgentRefused("too_large", f"the agent's answer has more than {MOST_BYTES} bytes")
            if time.monotonic() > end:
                raise AgentAway(f"the agent at {self.url} did not end its answer within {seconds:g} s")
        return bytes(body)

    def _asked(self, method: str, path: str, seconds: float, body: bytes | None = None) -> Answer:
        found = self.send(method, path, max(0.1, min(seconds, ANSWER_SECONDS)), body)
        if found.status == 429 and method == "POST":
            raise QuotaExceeded(
                f"the agent at {self.url} has no room: {_said(found)}", retry_after=_delay(found.headers)
            )
        problem = _problem(found)
        if found.status == 503 and problem is not None and problem.code == "away":
            raise RunAway(f"what the agent at {self.url} needs is away: {_said(found)}")
        # room is what a start needs; of a run under way 429 says no more than 503
        if found.status >= 500 or found.status in (401, 403, 429):
            raise AgentAway(
                f"the agent at {self.url} answers {found.status}: {_said(found)}",
                retry_after=_delay(found.headers),
            )
        return found

    def _status(self, found: Answer, run_id: str, wanted: tuple[int, ...]) -> RunStatus:
        if found.status not in wanted:
            problem = _problem(found)
            code = problem.code if problem else "contract"
            raise AgentRefused(code, f"the agent answers {found.status}: {_said(found)}")
        try:
            status = RunStatus.model_validate_json(found.body)
        except ValidationError as error:
            raise AgentRefused(
                "contract", f"the run's status breaks the contract: {faults(error)}"
            ) from error
        if status.run_id != run_id:
            raise AgentRefused("another_run", f"asked for run {run_id}, the agent gave {status.run_id!r}")
        if (status.state == "ended") != (status.trace is not None):
            raise AgentRefused(
                "contract", f"a run that is {status.state!r} must have a trace if it has ended"
            )
        return status


def _problem(found: Answer) -> Problem | None:
    try:
        return Problem.model_validate_json(found.body)
    except ValidationError:
        return None


def _said(found: Answer) -> str:
    """The answer's own words, short, in one line."""
    problem = _problem(found)
    said = f"{problem.code}: {problem.message}" if problem else found.body[:200].decode(errors="replace")
    return " ".join(said.split())[:300] or "nothing more"


def _delay(headers: Mapping[str, Any]) -> float | None:
    """Retry-After in seconds; None where it is absent or a date."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
