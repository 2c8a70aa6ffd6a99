"""What the server does for a request, whatever its address: the answers of both platforms' calls."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from local_stack.model.answers import answer
from local_stack.model.caches import Caches
from local_stack.model.embedding import DEFAULT_DIMENSIONS, MAXIMUM_DIMENSIONS, embed
from local_stack.model.errors import invalid
from local_stack.model.faults import Faults
from local_stack.model.registry import Registry
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
