"""What both ends of the contract's requests share: bodies limited in size, errors as a Problem."""

import asyncio
import re
import threading
from contextlib import nullcontext
from itertools import islice
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agent.http.bounds import (
    BODY_SECONDS,
    MOST_BYTES,
    MOST_VALUES,
    REQUEST_BYTES,
    ByteBudget,
    TooLarge,
)
from agent.http.contract import Problem

LARGE = 256 * 1024
"""Bytes from which on bodies are checked one at a time: one of 8 MiB can take 500 MiB of memory."""
MOST_FAULTS = 1000
"""Faults of a body that are collected; an error shows the first of them."""

Model = TypeVar("Model", bound=BaseModel)

# each match ends with one character of the structure, or at the end; strings are skipped
_STRUCTURE = re.compile(rb'(?:[^\[{,"]++|"(?:[^"\\]++|\\.?)*+(?:"|\Z))*+(?:[\[{,]|\Z)', re.DOTALL)
_checking = threading.Lock()


class Broken(ValueError):
    """A body that breaks the contract; the text says how, in one line without its values."""


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def answer(status: int, body: BaseModel) -> Response:
    """A JSON answer."""
    return Response(body.model_dump_json(), status, media_type="application/json")


def refusal(_: Request, error: Exception) -> Response:
    """How a Refused is answered."""
    assert isinstance(error, Refused)
    found = answer(error.status, Problem(code=error.code, message=str(error)))
    if error.retry_after is not None:
        found.headers["Retry-After"] = f"{error.retry_after:g}"
    return found


async def read(
    request: Request,
    model: type[Model],
    *,
    most: int = MOST_BYTES,
    run: ByteBudget | None = None,
    threads: CapacityLimiter | None = None,
) -> Model:
    """The request's body; a large one is checked in one of `threads`.

    Raises Refused; TooLarge where the run has used up its bytes.
    """
    if run is not None:
        run.take(REQUEST_BYTES)
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if run is not None:
                    run.take(len(chunk))
                if size <= most:
                    body += chunk
                elif size > most + MOST_BYTES:  # below, the client gets to read the answer
                    break
    except TimeoutError as error:
        raise Refused(408, "invalid", f"the body did not come within {BODY_SECONDS:g} s") from error
    except ClientDisconnect as error:
        raise Refused(400, "invalid", "the body does not end") from error
    if size > most:
        raise Refused(413, "too_large", f"the body has more than {most} bytes")
    try:
        if len(body) <= LARGE:
            return parsed(model, bytes(body))
        return await to_thread.run_sync(parsed, model, bytes(body), limiter=threads)
    except Broken as error:
        raise Refused(400, "invalid", str(error)) from error
    except TooLarge as error:
        raise Refused(413, "too_large", f"the body {error}") from error


def parsed(model: type[Model], body: bytes) -> Model:
    """The body as `model`. Raises Broken, TooLarge."""
    # a body of millions of small values takes gigabytes and half a minute to be refused
    if len(body) > LARGE and sum(1 for _ in islice(_STRUCTURE.finditer(body), MOST_VALUES + 1)) > MOST_VALUES:
        raise TooLarge(f"has more than {MOST_VALUES} values")
    with _checking if len(body) > LARGE else nullcontext():
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise Broken(faults(error)) from None


def faults(error: ValidationError) -> str:
    """What is wrong with a body, in one line without its values."""
    count = error.error_count()
    if count > MOST_FAULTS:
        return f"body: {count} faults"
    found = [
        f"{'.'.join(str(place)[:64] for place in one['loc']) or 'body'}: {one['msg'][:200]}"
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return "; ".join(found[:5]) + more


def bearer(request: Request) -> str:
    """The bearer token of a request; empty where it has none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
