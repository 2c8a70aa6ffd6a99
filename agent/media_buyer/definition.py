"""The media buyer as the runtime needs it: prompt, tool declarations, AgentSpec, and its first turn."""

from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from agent.load import read_definition
from agent.run import AgentDefinition
from schemas.identity import canonical_json, sha256
from schemas.records import Artifact, ArtifactKind, Part, Turn

_FOLDER = files("agent.media_buyer")


class DecisionRequest(BaseModel):
    """What the media buyer is asked: one campaign, one day. Money in integer minor units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: str
    campaign_id: str
    date: date
    """Today, in `time_zone`."""
    time_zone: str
    currency: str
    target_cpa_minor: int
    target_roas: float

    def content(self) -> str:
        """Canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))

    def turn(self) -> Turn:
        """The first turn of the conversation."""
        first = (
            f"Decide on campaign {self.campaign_id} of account {self.account_id} for {self.date.isoformat()}."
        )
        return Turn(role="user", parts=(Part(kind="text", text=f"{first}\n\n{self.content()}"),))


@lru_cache(maxsize=1)
def media_buyer() -> AgentDefinition:
    """The agent of this version of the code."""
    return read_definition(_FOLDER)


def artifacts(agent: AgentDefinition, registered_at: datetime) -> tuple[Artifact, ...]:
    """The three contents that decisions name by hash."""
    contents: tuple[tuple[ArtifactKind, str, bytes], ...] = (
        ("system_prompt", "text/markdown", agent.system_prompt.encode()),
        ("toolset", "application/json", canonical_json(list(agent.declarations)).encode()),
        ("agent_spec", "application/json", agent.spec.content()),
    )
    return tuple(
        Artifact(
            artifact_id=sha256(content),
            kind=kind,
            agent=agent.spec.name,
            name=f"{agent.spec.name} {kind}",
            version=agent.spec.version,
            media_type=media_type,
            content=content,
            registered_at=registered_at,
        )
        for kind, media_type, content in contents
    )
