"""Both ends of the contract's requests: bodies bounded in size, errors as a Problem."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from agent.http.contract import Problem

MOST_BYTES = 8 * 1024 * 1024
"""Of a body; a record may have 4 MiB."""

Model = TypeVar("Model", bound=BaseModel)


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


async def read(request: Request, model: type[Model]) -> Model:
    """The request's body. Raises Refused."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refused(413, "too_large", f"the body has more than {MOST_BYTES} bytes")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise Refused(400, "invalid", faults(error)) from error


def faults(error: ValidationError) -> str:
    """What is wrong with a body, in one line without its values."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return "; ".join(found[:5]) + more


def bearer(request: Request) -> str:
    """The token that came with a request; empty where none did."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
