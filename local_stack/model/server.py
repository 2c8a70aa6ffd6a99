"""The HTTP server: the Gemini REST protocol of both platforms, and addresses of its own under /local."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from local_stack.model import scoring
from local_stack.model.answers import stream
from local_stack.model.errors import ApiError, invalid
from local_stack.model.registry import BASE_NAME, Registry
from local_stack.model.service import NOTICE, Service
from local_stack.model.tuning import Jobs
from local_stack.model.wire import Json, member

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
