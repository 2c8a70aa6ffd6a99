"""Sends decisions of the support-refund agent and the expert's verdicts.

`python -m examples.support_refund.feed`: it needs a running stack, and the agent registered and served.
"""

import argparse
import sys

from agent.http.client import AgentAway, AgentClient
from agent.http.tools_endpoint import ToolsEndpoint
from examples.support_refund.production import decide, review, support_refund
from examples.support_refund.shop import Ticket
from schemas.identity import decision_key
from schemas.registry import make_codec
from streams.runtime.kafka_clients import CheckedProducer
from streams.settings import load_settings


def feed(count: int, url: str) -> int:
    """Sends `count` decisions and their verdicts; how many were corrected."""
    settings = load_settings()
    codec = make_codec(settings)
    producer = CheckedProducer(settings.kafka)
    agent, client, endpoint = support_refund(), AgentClient(url), ToolsEndpoint()
    corrected = 0
    try:
        for number in range(count):
            ticket = Ticket(number)
            decision = decide(agent, client, endpoint, ticket)
            verdict = review(agent, ticket, decision)
            corrected += verdict.kind == "correct"
            key = decision_key(decision.agent, decision.decision_id)
            for topic, record in (("agent.decisions", decision), ("expert.verdicts", verdict)):
                producer.send(topic, key, codec.encode(topic, record))
        producer.flush()
    finally:
        endpoint.close()
        client.close()
    return corrected


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Decisions and verdicts of the support-refund agent.")
    parser.add_argument("-n", type=int, default=24, help="decisions to send (default: %(default)s)")
    parser.add_argument("--url", default=support_refund().spec.endpoint, help="where the agent is served")
    options = parser.parse_args()
    try:
        corrected = feed(options.n, options.url)
    except AgentAway as error:
        sys.stderr.write(f"{error}; start it with `python examples/support_refund/service.py`\n")
        return 1
    sys.stdout.write(f"{options.n} decisions and verdicts sent, {corrected} of them corrections\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
