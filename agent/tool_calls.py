"""One tool call: in a thread of its own, bounded in time and size, with errors that a model can read."""

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import structlog

from agent.ports import ToolAnswer, ToolBox, ToolError
from schemas.log_events import TOOL_RAISED, TOOL_TIMED_OUT
from schemas.records import Part

log = structlog.get_logger(__name__)


class WriteUnknown(Exception):
    """A write did not answer in time: it may or may not have taken effect."""


def answer_call(tools: ToolBox, call: Part, *, seconds: float, bytes_: int) -> Part:
    """The response part to `call`; whatever a tool does wrong is an error that the model sees.

    `seconds` and `bytes_` bound the answer; a longer one is cut and says so. Raises WriteUnknown.
    """
    name, arguments = call.tool or "", json.loads(call.arguments_json or "{}")
    effect = tools.effect(name)
    known: dict[str, object] = {"kind": "function_response", "call_id": call.call_id, "tool": name}
    known["effect"] = effect
    if effect is None:
        names = ", ".join(str(declaration["name"]) for declaration in tools.declarations)
        return _part(known, _error(f"there is no tool {name!r}; the tools are {names}"))
    if not isinstance(arguments, dict):
        return _part(
            known, _error(f"the arguments of {name} must be an object, not {type(arguments).__name__}")
        )
    try:
        known["request_hash"] = tools.request_hash(name, arguments)
    except ToolError as error:
        return _part(known, _error(str(error)))
    future = _started(tools, name, arguments)
    try:
        failure = future.exception(timeout=seconds)
    except TimeoutError:
        TOOL_TIMED_OUT.emit(log, tool=name, effect=effect, seconds=seconds)
        if effect == "write":
            raise WriteUnknown(f"{name} did not answer in {seconds:g} s; it may have taken effect") from None
        return _part(known, _error(f"{name} did not answer within {seconds:g} s"))
    if isinstance(failure, ToolError):
        return _part(known, {"error": str(failure), "answered_by": failure.answered_by})
    if failure is not None:
        # the text of a foreign error may hold addresses and tokens: neither the log nor the model gets it
        TOOL_RAISED.emit(log, tool=name, effect=effect, error=type(failure).__name__)
        return _part(known, _error(f"{name} failed ({type(failure).__name__})"))
    return _part(known, _body(name, future.result(), bytes_))


def _started(tools: ToolBox, name: str, arguments: Mapping[str, Any]) -> Future[ToolAnswer]:
    """The call under way. A daemon thread, since a tool that hangs must not keep the process alive."""
    future: Future[ToolAnswer] = Future()

    def work() -> None:
        try:
            future.set_result(tools.call(name, arguments))
        except BaseException as error:  # noqa: BLE001 - handed to the run's own thread, which judges it
            future.set_exception(error)

    threading.Thread(target=work, name=f"tool-{name}", daemon=True).start()
    return future


def _part(known: dict[str, object], answer: dict[str, object]) -> Part:
    return Part.model_validate(known | answer)


def _error(text: str) -> dict[str, object]:
    return {"error": text, "answered_by": "error"}


def _body(name: str, answer: ToolAnswer, limit: int) -> dict[str, object]:
    raw = answer.body.encode()
    body = answer.body
    if len(raw) > limit:
        beginning = raw[: limit // 2].decode(errors="ignore")
        body = json.dumps(
            {"truncated": True, "bytes": len(raw), "limit_bytes": limit, "beginning": beginning}
        )
    else:
        try:
            json.loads(body)
        except ValueError:
            return _error(f"{name} answered something that is no JSON")
    return {"response_json": body, "answered_by": answer.answered_by, "fetched_at": answer.fetched_at}
