"""The media buyer's limits by name: numbers of `limits.yaml` that prompt, AgentSpec and tools share."""

from importlib.resources import files

from agent.limits import read_limits

LIMITS = read_limits(files("agent.media_buyer"))
