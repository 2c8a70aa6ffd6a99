"""Environment of a worker and dependencies of its step, made from the settings."""

from functools import lru_cache

import structlog

from agent.oracle import NoOracle, renderer
from agent.spec import AgentSpec, actions_match
from schemas.codec import Codec
from schemas.records import Action, AgentDecision, ArtifactKind, ExpertVerdict
from schemas.registry import make_codec
from streams.agents.artifact_store import ArtifactMissing, ArtifactStore
from streams.core.contract import Poison
from streams.core.dependencies import Dependencies
from streams.faust_runner.run import StageContext
from streams.gates.gate import Common
from streams.settings import Settings

log = structlog.get_logger(__name__)

ARTIFACT_WAIT_SECONDS = 10.0


def stage_context(settings: Settings, codec: Codec | None = None) -> StageContext:
    """Broker, codec, folders and bounds of a worker."""
    return StageContext(
        codec=codec or make_codec(settings),
        kafka=settings.kafka,
        home=settings.home,
        worker=settings.worker,
        log=settings.log,
        metrics=settings.metrics,
    )


class AgentTexts:
    """Prompts, tools and specs of agents, from the artifact store; parsed once."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.spec = lru_cache(maxsize=64)(self._spec)
        self.common = lru_cache(maxsize=64)(self._common)

    def _text(self, artifact_id: str, kind: ArtifactKind) -> str:
        try:
            return self._store.get(artifact_id, kind, ARTIFACT_WAIT_SECONDS).content.decode()
        except ArtifactMissing as error:
            raise Poison("artifact_missing", str(error)) from error

    def _spec(self, spec_id: str) -> AgentSpec:
        return AgentSpec.parse(self._text(spec_id, "agent_spec"))

    def _common(self, prompt_id: str, toolset_id: str, spec_id: str) -> Common:
        return Common(
            prompt=self._text(prompt_id, "system_prompt"),
            toolset=self._text(toolset_id, "toolset"),
            spec=self._text(spec_id, "agent_spec"),
            actions=frozenset(self.spec(spec_id).actions),
        )


def make_dependencies(settings: Settings, codec: Codec) -> Dependencies:
    """The dependencies of the trigger and the sanitizer."""
    store = ArtifactStore(settings.kafka, codec)
    texts = AgentTexts(store)
    secret = settings.replay.oracle_secret.get_secret_value().encode()

    def render_oracle(decision: AgentDecision, verdict: ExpertVerdict, strength: int, replay_id: str) -> str:
        try:
            return renderer(texts.spec(decision.spec_id), secret)(verdict, strength, replay_id)
        except NoOracle as error:
            raise Poison("no_oracle", str(error)) from error

    def match(decision: AgentDecision, one: Action, other: Action) -> bool:
        return actions_match(texts.spec(decision.spec_id), one, other)

    def common_of(decision: AgentDecision) -> Common:
        return texts.common(decision.prompt_id, decision.toolset_id, decision.spec_id)

    def actions_of(decision: AgentDecision) -> frozenset[str]:
        return frozenset(texts.spec(decision.spec_id).actions)

    def spend_of(decision: AgentDecision) -> float:
        return texts.spec(decision.spec_id).spend_of(decision.action)

    def is_remote(decision: AgentDecision) -> bool:
        spec = texts.spec(decision.spec_id)
        return spec.endpoint is not None or spec.name in settings.replay.endpoints

    return Dependencies(
        decode=codec.decode,
        render_oracle=render_oracle,
        actions_match=match,
        common_of=common_of,
        actions_of=actions_of,
        spend_of=spend_of,
        is_remote=is_remote,
    )
