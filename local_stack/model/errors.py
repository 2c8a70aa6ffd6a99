"""Errors in Google's shape: code, status, message, and details that a client can act on."""

from dataclasses import dataclass, field
from typing import Any

STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(eq=False)
class ApiError(Exception):
    """An error answer of the server; `code` is the HTTP status."""

    code: int
    message: str
    details: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The response body."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": STATUSES.get(self.code, "UNKNOWN"),
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str) -> ApiError:
    """The request breaks the protocol."""
    return ApiError(400, message)


def unknown(kind: str, name: str) -> ApiError:
    """The server has no resource of this name."""
    return ApiError(404, f"{kind} {name!r} is not found; this server lists what it has under /v1/models.")


def exhausted(retry_seconds: float) -> ApiError:
    """Too many requests; the answer says when to try again."""
    info = {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": f"{retry_seconds:g}s",
    }
    return ApiError(429, "Resource has been exhausted (a fault that was asked for).", [info])
