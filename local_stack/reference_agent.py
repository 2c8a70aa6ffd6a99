"""The reference agent, so that a one-machine stack has an agent to replay."""

from datetime import UTC, datetime

from streams.settings import Settings


def register_media_buyer(settings: Settings) -> None:
    """Puts the reference agent's prompt, tools and AgentSpec on the artifacts topic."""
    from agent.media_buyer.definition import artifacts, media_buyer
    from streams.agents.register_agent import register_agent

    register_agent(settings, artifacts(media_buyer(), datetime.now(UTC)))
