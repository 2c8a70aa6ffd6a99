"""The HTTP server: the Gemini REST protocol of both platforms, and addresses of its own under /local."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from local_stack.model import scoring
from local_stack.model.answers import answer, stream
from local_stack.model.caches import Caches
from local_stack.model.embedding import DEFAULT_DIMENSIONS, MAXIMUM_DIMENSIONS, embed
from local_stack.model.errors import ApiError, invalid
from local_stack.model.faults import Faults
from local_stack.model.registry import BASE_NAME, Registry
from local_stack.model.tuning import Jobs
from local_stack.model.wire import Json, member, read_generate, read_prompt

NOTICE = "opoi's local model: a toy for trying, tests and CI. It knows one job and is no Gemini model."
CONTEXT_TOKENS = 1_048_576


@dataclass(slots=True)
class Service:
    """What the requests share."""

    registry: Registry
    jobs: Jobs
    caches: Caches = field(default_factory=Caches)
    faults: Faults = field(default_factory=Faults)

    async def generate(self, model: str, body: Json) -> dict[str, Any]:
        """generateContent's answer."""
        await self._meet_faults()
        name = member(body, "cachedContent")
        cached, tokens = self.caches.body(str(name)) if name else (None, 0)
        if cached is not None:
            for member_name in ("systemInstruction", "tools", "toolConfig"):
                if member(body, member_name):
                    raise invalid(
                        f"CachedContent can not be used with GenerateContent request setting {member_name}; "
                        "move it to the CachedContent."
                    )
        request = read_generate(body, cached)
        self.faults.check_log_probabilities(model, request.log_probabilities)
        return answer(self.registry, model, request, tokens)

    async def count(self, model: str, body: Json) -> dict[str, Any]:
        """countTokens' answer."""
        await self._meet_faults()
        self.registry.get(model)
        inner = member(body, "generateContentRequest", body)
        count = read_prompt(inner).token_count
        return {"totalTokens": count, "totalBillableCharacters": count * 4}

    async def embed(self, body: Json) -> dict[str, Any]:
        """embedContent's answer for one content."""
        await self._meet_faults()
        return {"embedding": {"values": _embedding(body)}}

    async def embed_batch(self, body: Json) -> dict[str, Any]:
        """batchEmbedContents' answer."""
        await self._meet_faults()
        return {"embeddings": [{"values": _embedding(each)} for each in member(body, "requests", [])]}

    async def predict(self, body: Json) -> dict[str, Any]:
        """Vertex AI's form of embedding."""
        await self._meet_faults()
        dimensions = member(member(body, "parameters", {}), "outputDimensionality")
        found = []
        for instance in member(body, "instances", []):
            text = str(member(instance, "content", ""))
            values = _embedding({"content": {"parts": [{"text": text}]}, "outputDimensionality": dimensions})
            statistics = {"truncated": False, "token_count": -(-len(text) // 4)}
            found.append({"embeddings": {"values": values, "statistics": statistics}})
        return {"predictions": found}

    async def _meet_faults(self) -> None:
        if self.faults.latency_seconds:
            await asyncio.sleep(self.faults.latency_seconds)
        self.faults.check()

    def model(self, name: str) -> dict[str, Any]:
        """The resource of a model. Raises ApiError 404."""
        self.registry.get(name)
        return {
            "name": f"models/{name}",
            "version": self.registry.version,
            "displayName": name,
            "description": NOTICE,
            "inputTokenLimit": CONTEXT_TOKENS,
            "outputTokenLimit": 512,
            "supportedGenerationMethods": [
                *("generateContent", "streamGenerateContent", "countTokens", "embedContent"),
                "createTunedModel",
            ],
        }


def _embedding(body: Json) -> list[float]:
    dimensions = member(body, "outputDimensionality", DEFAULT_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MAXIMUM_DIMENSIONS:
        raise invalid(f"outputDimensionality is {dimensions!r}; it must be from 1 to {MAXIMUM_DIMENSIONS}.")
    parts = (member(body, "content", {})).get("parts") or []
    return embed(" ".join(str(part.get("text") or "") for part in parts), dimensions)


Handler = Callable[[Service, re.Match[str], Json], Awaitable[Any]]


async def _list_models(service: Service, match: re.Match[str], body: Json) -> Any:
    key = "publisherModels" if "publishers" in match["parent"] else "models"
    return {key: [service.model(name) for name in service.registry.names()]}


async def _get_model(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.model(match["model"].rpartition("/")[2])


async def _generate(service: Service, match: re.Match[str], body: Json) -> Any:
    return await service.generate(match["model"], body)


async def _stream(service: Service, match: re.Match[str], body: Json) -> Any:
    pieces = list(stream(await service.generate(match["model"], body)))

    async def events() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield b"data: " + orjson.dumps(piece) + b"\r\n\r\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def _count(service: Service, match: re.Match[str], body: Json) -> Any:
    return await service.count(match["model"], body)


async def _embed(service: Service, match: re.Match[str], body: Json) -> Any:
    return await service.embed(body)


async def _embed_batch(service: Service, match: re.Match[str], body: Json) -> Any:
    return await service.embed_batch(body)


async def _predict(service: Service, match: re.Match[str], body: Json) -> Any:
    return await service.predict(body)


async def _create_cache(service: Service, match: re.Match[str], body: Json) -> Any:
    service.registry.get(str(member(body, "model", "")))
    return service.caches.create(match["parent"].rstrip("/"), body)


async def _list_caches(service: Service, match: re.Match[str], body: Json) -> Any:
    return {"cachedContents": service.caches.list(match["parent"])}


async def _get_cache(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.caches.get(match["name"])


async def _extend_cache(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.caches.extend(match["name"], body)


async def _delete_cache(service: Service, match: re.Match[str], body: Json) -> Any:
    service.caches.delete(match["name"])
    return {}


async def _create_job(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.jobs.create(match["parent"].rstrip("/"), body)


async def _list_jobs(service: Service, match: re.Match[str], body: Json) -> Any:
    return {"tuningJobs": service.jobs.list()}


async def _get_job(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.jobs.get(match["name"]).resource


async def _cancel_job(service: Service, match: re.Match[str], body: Json) -> Any:
    service.jobs.cancel(match["name"])
    return {}


async def _health(service: Service, match: re.Match[str], body: Json) -> Any:
    registry = service.registry
    return {
        "status": "ok",
        "model": BASE_NAME,
        "version": registry.version,
        "tuned": registry.names()[1:],
        "notice": NOTICE,
    }


async def _score(service: Service, match: re.Match[str], body: Json) -> Any:
    return scoring.score(service.registry, body)


async def _set_faults(service: Service, match: re.Match[str], body: Json) -> Any:
    service.faults.configure(body)
    return service.faults.state()


async def _get_faults(service: Service, match: re.Match[str], body: Json) -> Any:
    return service.faults.state()


async def _clear_faults(service: Service, match: re.Match[str], body: Json) -> Any:
    service.faults.configure({})
    return service.faults.state()


async def _losses(service: Service, match: re.Match[str], body: Json) -> Any:
    job = service.jobs.get(match["name"])
    return {"name": job.resource["name"], "state": job.resource["state"], "losses": job.losses}


_V = r"/v1(?:beta\d?|alpha)?/"
_PARENT = r"(?P<parent>(?:projects/[^/]+/locations/[^/]+/)?)"
_MODEL = r"(?P<model>(?:[^/:]+/)*[^/:]+)"
_TABLE: tuple[tuple[str, str, Handler], ...] = (
    ("POST", rf"{_V}{_MODEL}:generateContent", _generate),
    ("POST", rf"{_V}{_MODEL}:streamGenerateContent", _stream),
    ("POST", rf"{_V}{_MODEL}:countTokens", _count),
    ("POST", rf"{_V}{_MODEL}:embedContent", _embed),
    ("POST", rf"{_V}{_MODEL}:batchEmbedContents", _embed_batch),
    ("POST", rf"{_V}{_MODEL}:predict", _predict),
    ("POST", rf"{_V}{_PARENT}cachedContents", _create_cache),
    ("GET", rf"{_V}{_PARENT}cachedContents", _list_caches),
    ("GET", rf"{_V}(?P<name>{_PARENT}cachedContents/[^/]+)", _get_cache),
    ("PATCH", rf"{_V}(?P<name>{_PARENT}cachedContents/[^/]+)", _extend_cache),
    ("DELETE", rf"{_V}(?P<name>{_PARENT}cachedContents/[^/]+)", _delete_cache),
    ("POST", rf"{_V}{_PARENT}tuningJobs", _create_job),
    ("GET", rf"{_V}{_PARENT}tuningJobs", _list_jobs),
    ("GET", rf"{_V}(?P<name>{_PARENT}tuningJobs/[^/:]+)", _get_job),
    ("POST", rf"{_V}(?P<name>{_PARENT}tuningJobs/[^/:]+):cancel", _cancel_job),
    ("GET", rf"{_V}(?P<parent>(?:publishers/google/)?)models", _list_models),
    ("GET", rf"{_V}(?P<model>(?:[^/:]+/)*(?:models|tunedModels|endpoints)/[^/:]+)", _get_model),
    ("GET", r"/local/health", _health),
    ("POST", r"/local/score", _score),
    ("GET", r"/local/faults", _get_faults),
    ("POST", r"/local/faults", _set_faults),
    ("DELETE", r"/local/faults", _clear_faults),
    ("GET", r"/local/tuning-jobs/(?P<name>[^/]+)", _losses),
)
_ROUTES = tuple((method, re.compile(pattern), handler) for method, pattern, handler in _TABLE)


async def _dispatch(service: Service, request: Request) -> Response:
    for method, pattern, handler in _ROUTES:
        match = pattern.fullmatch(request.url.path)
        if match is not None and method == request.method:
            found = await handler(service, match, await _body(request))
            return found if isinstance(found, Response) else _json(found)
    raise ApiError(404, f"{request.method} {request.url.path} is no address of this server.")


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"Invalid JSON payload received: {error}") from error
    if not isinstance(body, dict):
        raise invalid(f"The body must be an object, not {type(body).__name__}.")
    return body


def _json(found: Any, code: int = 200) -> Response:
    return Response(orjson.dumps(found), code, media_type="application/json")


def application(registry: Registry, folder: Path) -> Starlette:
    """The server's application; tuned models and jobs are kept in `folder`."""
    jobs = Jobs(registry, folder / "jobs")
    service = Service(registry, jobs)

    async def endpoint(request: Request) -> Response:
        try:
            return await _dispatch(service, request)
        except ApiError as error:
            return _json(error.body(), error.code)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        jobs.close()

    methods = ["GET", "POST", "PATCH", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", endpoint, methods=methods)], lifespan=lifespan)
