"""Records of the demo: decisions of the real agent, verdicts of a simulated expert, some poison."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from local_stack.expert import review
from schemas.codec import Codec
from schemas.identity import decision_key
from schemas.records import AgentDecision, ExpertVerdict
from streams.runtime.kafka_clients import CheckedProducer

DECISIONS = "agent.decisions"
VERDICTS = "expert.verdicts"

# bytes that no schema wrote, as from a producer with another serializer
POISON = b'{"this": "is JSON, not Avro"}'
POISON_EVERY = 30


@dataclass
class Sent:
    """Records of one demo run, all acknowledged by the broker."""

    decisions: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, int]] = field(default_factory=list)
    poison: int = 0

    @property
    def records(self) -> int:
        """All records sent."""
        return len(self.decisions) + len(self.verdicts) + self.poison


def send(
    decisions: Iterator[AgentDecision],
    producer: CheckedProducer,
    codec: Codec,
    seed: int,
    told: Callable[[Sent], None],
) -> Sent:
    """Sends each decision and the expert's verdicts on it; calls `told` after every decision.

    Every `POISON_EVERY`th decision is followed by a record that cannot be decoded. Raises
    DeliveryFailed if the broker did not acknowledge a record.
    """
    sent = Sent()
    for decision in decisions:
        _decision(producer, codec, decision)
        sent.decisions.append(decision.decision_id)
        for verdict in review(decision, Random(f"{seed}/{decision.decision_id}")):
            _verdict(producer, codec, verdict)
            sent.verdicts.append((verdict.verdict_id, verdict.revision))
        if len(sent.decisions) % POISON_EVERY == 1:
            producer.send(DECISIONS, decision_key("media_buyer", f"poison-{decision.decision_id}"), POISON)
            sent.poison += 1
        told(sent)
    producer.flush()
    return sent


def _decision(producer: CheckedProducer, codec: Codec, decision: AgentDecision) -> None:
    key = decision_key(decision.agent, decision.decision_id)
    producer.send(DECISIONS, key, codec.encode(DECISIONS, decision))


def _verdict(producer: CheckedProducer, codec: Codec, verdict: ExpertVerdict) -> None:
    key = decision_key(verdict.agent, verdict.decision_id)
    producer.send(VERDICTS, key, codec.encode(VERDICTS, verdict))
