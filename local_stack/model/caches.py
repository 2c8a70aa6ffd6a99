"""Cached contents: a system prompt, tools and contents kept under a name for a while, in memory."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local_stack.model.errors import ApiError, invalid
from local_stack.model.wire import member, read_prompt

MINIMUM_TOKENS = 1024
DEFAULT_TTL = timedelta(hours=1)


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, as Google writes it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class _Entry:
    resource: dict[str, Any]
    body: Mapping[str, Any]
    tokens: int
    expires: datetime


@dataclass(slots=True)
class Caches:
    """All cached contents that have not expired."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store the body's contents; the resource. Raises ApiError if they are too small to cache."""
        tokens = read_prompt(body).token_count
        if tokens < MINIMUM_TOKENS:
            raise invalid(
                f"Cached content is too small. total_token_count={tokens}, "
                f"min_total_token_count={MINIMUM_TOKENS}"
            )
        name = f"{parent}/" if parent else ""
        name += f"cachedContents/{secrets.token_hex(8)}"
        made = self.now()
        resource = {
            "name": name,
            "model": member(body, "model"),
            "createTime": timestamp(made),
            "updateTime": timestamp(made),
            "usageMetadata": {"totalTokenCount": tokens},
        }
        if member(body, "displayName"):
            resource["displayName"] = member(body, "displayName")
        entry = _Entry(resource, body, tokens, made + _ttl(body))
        resource["expireTime"] = timestamp(entry.expires)
        self._entries[name] = entry
        return resource

    def get(self, name: str) -> dict[str, Any]:
        """The resource. Raises ApiError 404."""
        return self._find(name).resource

    def body(self, name: str) -> tuple[Mapping[str, Any], int]:
        """The cached contents and their tokens. Raises ApiError 404."""
        entry = self._find(name)
        return entry.body, entry.tokens

    def extend(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Give the contents another time to live. Raises ApiError 404."""
        entry = self._find(name)
        entry.expires = self.now() + _ttl(body)
        entry.resource |= {"expireTime": timestamp(entry.expires), "updateTime": timestamp(self.now())}
        return entry.resource

    def delete(self, name: str) -> None:
        """Forget the contents. Raises ApiError 404."""
        self._find(name)
        del self._entries[name]

    def list(self, parent: str) -> list[dict[str, Any]]:
        """All resources of a parent."""
        self._forget_expired()
        return [entry.resource for name, entry in self._entries.items() if name.startswith(parent)]

    def _find(self, name: str) -> _Entry:
        self._forget_expired()
        if name not in self._entries:
            raise ApiError(404, f"CachedContent {name!r} not found (or expired).")
        return self._entries[name]

    def _forget_expired(self) -> None:
        now = self.now()
        for name in [name for name, entry in self._entries.items() if entry.expires <= now]:
            del self._entries[name]


def _ttl(body: Mapping[str, Any]) -> timedelta:
    text = member(body, "ttl")
    if text is None:
        return DEFAULT_TTL
    try:
        seconds = float(str(text).removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if seconds <= 0:
        raise invalid(f"ttl is {text!r}; it must be a positive number of seconds such as '3600s'.")
    return timedelta(seconds=seconds)
