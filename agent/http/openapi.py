"""The contract as OpenAPI 3.1: `python -m agent.http.openapi` writes `openapi.yaml`, `--check` compares."""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from agent.http.contract import (
    OPENAPI,
    RUNS,
    VERSION,
    Problem,
    RunRequest,
    RunStatus,
    ToolAnswerPart,
    ToolList,
    ToolRequest,
)

TARGET = Path(__file__).with_name("openapi.yaml")
_MODELS: tuple[type[BaseModel], ...] = (
    RunRequest, RunStatus, Problem, ToolRequest, ToolList, ToolAnswerPart,
)  # fmt: skip


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opoi: agents over HTTP",
            "version": VERSION,
            "description": "What an agent serves so that opoi can replay its decisions (paths below "
            f"{RUNS}), and what opoi serves to the agent while a run lasts (the run's `tools_url`). The "
            "version is in the path; fields are added within a version only where they are optional. "
            "Times are ISO 8601, UTC; bytes are base64; an infinite number is the text `-Infinity`.",
        },
        "paths": {
            RUNS: {"post": _start()},
            RUNS + "/{run_id}": {"parameters": [_RUN_ID], "get": _status(), "delete": _cancel()},
            OPENAPI: {
                "get": {"operationId": "contract", "summary": "This document.", "responses": _ok("It.", None)}
            },
        },
        "webhooks": {"tools": {"get": _declarations(), "post": _call()}, "callback": {"post": _callback()}},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "agent": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The agent's own, if it has one.",
                },
                "run": {"type": "http", "scheme": "bearer", "description": "The run's `tools_token`."},
            },
        },
    }


_CONFLICT = (
    "`run_conflict`: another body under this id; `version_skew`: the agent no longer runs this version, "
    "prompt, toolset or model."
)
_TOO_LARGE = "The body is too large, or the run has used up its bytes, and ends."
_RUN_ID = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}


def _start() -> dict[str, Any]:
    return {
        "operationId": "startRun",
        "summary": "Start a run. The same body again answers with the same run and starts nothing.",
        "security": [{}, {"agent": []}],
        "requestBody": _body(RunRequest),
        "responses": {
            **_ok("The run is under way.", RunStatus, "202"),
            **_ok("The run had ended already.", RunStatus, "200"),
            **_problems(
                ("400", "The body breaks the contract."),
                ("409", _CONFLICT),
                ("429", "Too much at once; `Retry-After` says when."),
                ("503", "Not now."),
            ),
        },
    }  # fmt: skip


def _status() -> dict[str, Any]:
    return {
        "operationId": "runStatus",
        "summary": "The status of a run. Kept for at least its budget's seconds after it ended.",
        "security": [{}, {"agent": []}],
        "responses": {
            **_ok("It runs, or it has ended.", RunStatus),
            **_problems(
                ("404", "No such run."),
                (
                    "503",
                    "With code `away`: a service that it needs does not answer; start another run later.",
                ),
            ),
        },
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancelRun",
        "summary": "Cancels the run: its result is no longer wanted.",
        "security": [{}, {"agent": []}],
        "responses": {"204": {"description": "It stops, or there was no such run."}},
    }


def _declarations() -> dict[str, Any]:
    return {
        "operationId": "tools",
        "summary": "opoi, at `tools_url`: the declarations of the run's tools, and its clock.",
        "security": [{"run": []}],
        "responses": {
            **_ok("They.", ToolList),
            **_problems(("401", "No such run, or not its token."), ("413", _TOO_LARGE)),
        },
    }


def _call() -> dict[str, Any]:
    return {
        "operationId": "callTool",
        "summary": "opoi, at `tools_url`: one tool call, answered as of the decision. Writes are simulated. "
        "What the tool refuses or cannot answer is an answer too, with `error` set.",
        "security": [{"run": []}],
        "requestBody": _body(ToolRequest),
        "responses": {
            **_ok("The part to put into the next user turn.", ToolAnswerPart),
            **_problems(
                ("400", "The body breaks the contract."),
                ("401", "No such run, not its token, or the run has ended."),
                ("408", "The body did not come in time."),
                ("409", "Another call had this `call_id`."),
                ("413", _TOO_LARGE),
                ("429", "The run has used up its calls."),
            ),
        },
    }


def _callback() -> dict[str, Any]:
    return {
        "operationId": "ended",
        "summary": "opoi, at `callback_url`: the run has ended.",
        "security": [{"run": []}],
        "requestBody": _body(RunStatus),
        "responses": {
            "204": {"description": "Taken."},
            **_problems(
                ("400", "The body breaks the contract."),
                ("401", "No such run, or not its token."),
                ("408", "The body did not come in time."),
                ("413", _TOO_LARGE),
            ),
        },
    }


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": _json(model)}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _ok(text: str, model: type[BaseModel] | None, status: str = "200") -> dict[str, Any]:
    answer: dict[str, Any] = {"description": text}
    return {status: answer | ({"content": _json(model)} if model else {})}


def _problems(*answers: tuple[str, str]) -> dict[str, Any]:
    return {status: {"description": text, "content": _json(Problem)} for status, text in answers}


def render() -> str:
    """The document as YAML."""
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


def main(arguments: list[str]) -> int:
    """Writes the file, or with `--check` only compares. Exit code 3 where it is stale."""
    text = render()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{TARGET} is stale: run `python -m agent.http.openapi`\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
