"""Errors in Meta's shape: HTTP status, code, subcode, type and whether a retry may help."""

import hashlib
from dataclasses import dataclass


@dataclass(eq=False)
class GraphError(Exception):
    """An answer of the platform without data; codes are those of the Marketing API."""

    message: str
    code: int = 100
    subcode: int | None = None
    type: str = "OAuthException"
    status: int = 400
    transient: bool = False

    def body(self) -> dict[str, object]:
        """The response body."""
        error: dict[str, object] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient:
            error["is_transient"] = True
        error["fbtrace_id"] = "A" + hashlib.sha256(self.message.encode()).hexdigest()[:22]
        return {"error": error}


def unknown_object(object_id: str, method: str) -> GraphError:
    """The token may not see an object with this id."""
    return GraphError(
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, "
        "cannot be loaded due to missing permissions, or does not support this operation.",
        subcode=33,
        type="GraphMethodException",
    )


def invalid_parameter(text: str) -> GraphError:
    """A parameter or field that the edge does not take."""
    return GraphError(f"(#100) {text}")


def no_token() -> GraphError:
    """The request carries no access token."""
    return GraphError("An access token is required to request this resource.", code=104, status=401)


def too_many_calls(account_id: str, *, insights: bool = False) -> GraphError:
    """The account's request quota is used up; insights have a code of their own."""
    code = 80000 if insights else 80004
    return GraphError(
        f"(#{code}) There have been too many calls to this ad-account {account_id}. "
        "Wait a bit and try again.",
        code=code,
        subcode=2446079,
        transient=True,
    )


def too_many_budget_changes(campaign_id: str) -> GraphError:
    """Meta takes four budget changes an hour."""
    return GraphError(
        f"(#613) Budget of {campaign_id} was changed too often: 4 changes an hour are allowed.",
        code=613,
        subcode=1487742,
    )


def too_much_data() -> GraphError:
    """An insights request that would answer too many rows at once."""
    return GraphError(
        "(#100) Please reduce the amount of data you're asking for, then retry your request", subcode=1487534
    )


def failure() -> GraphError:
    """The platform itself failed; a retry may help."""
    return GraphError("An unknown error occurred", code=1, status=500, transient=True)
