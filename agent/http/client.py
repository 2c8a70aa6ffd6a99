"""opoi's requests to an agent over HTTP: limited in time and size, without redirects."""

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import ValidationError

from agent.http.bounded_http import Answer, BoundedHttp, TimeUp, Unreachable
from agent.http.bounds import CANCEL_SECONDS, MOST_PROBLEM_BYTES, ByteBudget, TooLarge
from agent.http.contract import RUNS, Problem, RunRequest, RunStatus
from agent.http.deadline_transport import NoAddress
from agent.http.exchange import Broken, parsed
from agent.ports import ModelAway, QuotaExceeded, Target


class AgentAway(ModelAway):
    """The agent cannot be reached, answers 5xx or rejects our token: wait and start the run again."""


class RunAway(AgentAway):
    """The agent reports that something that the run needs does not answer; the run is over."""


class AgentRefused(Exception):
    """The agent refuses this run, or its answer breaks the contract; `code` names which."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class AgentClient:
    """Speaks to the agent at `url`. Thread-safe.

    `name` is the agent's, `answer_seconds` the time for one whole answer; a run itself takes longer.
    """

    def __init__(
        self, url: str, token: str | None = None, *, name: str = "", answer_seconds: float = 30.0
    ) -> None:
        self.url = url.rstrip("/")
        self._answer_seconds = answer_seconds
        self._shown = _without_password(self.url)
        self._target = Target(f"agent:{name}", self._shown)
        self._token = token
        self._http: BoundedHttp | None = None

    def start(self, request: RunRequest, seconds: float, run: ByteBudget | None = None) -> RunStatus:
        """Starts a run. Raises AgentAway, QuotaExceeded, AgentRefused."""
        body = request.model_dump_json().encode()
        found = self._asked("POST", RUNS, seconds, body, run)
        return self._status(found, request.run_id, (200, 202))

    def status(self, run_id: str, seconds: float, run: ByteBudget | None = None) -> RunStatus:
        """The status of a run. Raises AgentAway, AgentRefused (`run_lost`: the agent does not know it)."""
        found = self._asked("GET", f"{RUNS}/{run_id}", seconds, run=run)
        if found.status == 404:
            raise AgentRefused("run_lost", f"the agent no longer knows run {run_id}")
        return self._status(found, run_id, (200,))

    def cancel(self, run_id: str) -> None:
        """Tells the agent that a run's result is no longer wanted; a failure does not matter."""
        try:
            self._asked("DELETE", f"{RUNS}/{run_id}", CANCEL_SECONDS)
        except (AgentAway, AgentRefused):
            return

    def send(
        self,
        method: str,
        path: str,
        seconds: float,
        body: bytes | None = None,
        run: ByteBudget | None = None,
    ) -> Answer:
        """One request, whatever the answer's status; all of it within `seconds`.

        Raises AgentAway, AgentRefused.
        """
        try:
            if self._http is None:
                self._http = BoundedHttp(self.url)
            return self._http.send(method, path, self._headers(body), body, seconds, run)
        except NoAddress as error:
            raise AgentRefused("endpoint", f"{self._shown!r} is no address of an agent: {error}") from error
        except TooLarge as error:
            raise AgentRefused("too_large", str(error)) from error
        except (TimeUp, Unreachable) as error:
            raise AgentAway(f"the agent at {self._shown} {error}", target=self._target) from error

    def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            self._http.close()

    def _headers(self, body: bytes | None) -> Mapping[bytes, bytes]:
        # never compressed: its size would be known only after decompression
        headers = {b"Accept": b"application/json", b"Accept-Encoding": b"identity", b"User-Agent": b"opoi"}
        if body is not None:
            headers[b"Content-Type"] = b"application/json"
        user = urlsplit(self.url).netloc.rpartition("@")[0]
        if self._token:
            # as bytes, so that a token of any characters is the agent's to refuse
            headers[b"Authorization"] = b"Bearer " + self._token.encode()
        elif user:
            headers[b"Authorization"] = b"Basic " + b64encode(user.encode())
        return headers

    def _asked(
        self,
        method: str,
        path: str,
        seconds: float,
        body: bytes | None = None,
        run: ByteBudget | None = None,
    ) -> Answer:
        found = self.send(method, path, max(0.1, min(seconds, self._answer_seconds)), body, run)
        if found.status == 429 and method == "POST":
            raise QuotaExceeded(
                f"the agent at {self._shown} has no room: {_said(found)}",
                retry_after=_delay(found.headers),
                target=self._target,
            )
        problem = _problem(found)
        if found.status == 503 and problem is not None and problem.code == "away":
            raise RunAway(
                f"the agent at {self._shown} lacks a service that it needs: {_said(found)}",
                target=self._target,
            )
        # only at the start of a run 429 means "no room"; later it means no more than 503
        if found.status >= 500 or found.status in (401, 403, 429):
            raise AgentAway(
                f"the agent at {self._shown} answers {found.status}: {_said(found)}",
                retry_after=_delay(found.headers),
                target=self._target,
            )
        return found

    def _status(self, found: Answer, run_id: str, wanted: tuple[int, ...]) -> RunStatus:
        if found.status not in wanted:
            problem = _problem(found)
            code = problem.code if problem else "contract"
            raise AgentRefused(code, f"the agent answers {found.status}: {_said(found)}")
        packed = found.headers.get("content-encoding", "identity")
        if packed != "identity":
            raise AgentRefused(
                "contract", f"the agent's answer is compressed ({packed[:32]!r}), which was not requested"
            )
        try:
            status = parsed(RunStatus, found.body)
        except Broken as error:
            raise AgentRefused("contract", f"the run's status breaks the contract: {error}") from error
        except TooLarge as error:
            raise AgentRefused("too_large", f"the agent's answer {error}") from error
        if status.run_id != run_id:
            raise AgentRefused("another_run", f"asked for run {run_id}, the agent gave {status.run_id!r}")
        if (status.state == "ended") != (status.trace is not None):
            raise AgentRefused(
                "contract", f"a run has a trace if and only if it has ended; this one is {status.state!r}"
            )
        return status


def _without_password(url: str) -> str:
    """`url` without its password."""
    user, at, _ = urlsplit(url).netloc.rpartition("@") if "@" in url else ("", "", "")
    return url.replace(f"{user}{at}", "", 1) if at else url


def _problem(found: Answer) -> Problem | None:
    if len(found.body) > MOST_PROBLEM_BYTES:
        return None
    try:
        return Problem.model_validate_json(found.body)
    except ValidationError:
        return None


def _said(found: Answer) -> str:
    """The answer's own words, short, in one line that can be shown."""
    problem = _problem(found)
    said = f"{problem.code}: {problem.message}" if problem else found.body[:200].decode(errors="replace")
    shown = "".join(one if one.isprintable() else " " for one in said[:2000])
    return " ".join(shown.split())[:300] or "nothing more"


def _delay(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds; None where it is absent or a date."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
