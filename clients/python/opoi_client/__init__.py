"""What a production agent needs to send its decisions to opoi: a recorder, and a way to Kafka.

`opoi_client.kafka` needs the extra `kafka`; everything else needs fastavro alone.
"""

from opoi_client.agent import Agent, AgentError, Artifact
from opoi_client.canonical import NotCanonical, canonical_json, request_hash
from opoi_client.conversation import Conversation, Usage, call, text, thought
from opoi_client.decision import Decision
from opoi_client.recorder import Recorder

__all__ = [
    "Agent",
    "AgentError",
    "Artifact",
    "Conversation",
    "Decision",
    "NotCanonical",
    "Recorder",
    "Usage",
    "call",
    "canonical_json",
    "request_hash",
    "text",
    "thought",
]
