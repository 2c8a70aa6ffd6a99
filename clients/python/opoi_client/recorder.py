"""One run of a production agent, recorded: what it was asked, said, read and changed, and what it decided."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from opoi_client.agent import Agent
from opoi_client.canonical import canonical_json, sha256
from opoi_client.conversation import Clock, Conversation, body_of, utc_milliseconds, utc_now
from opoi_client.decision import Decision

log = logging.getLogger(__name__)

_COUNTED = ("input_tokens", "cached_tokens", "output_tokens", "thought_tokens", "model_calls", "tool_calls")
_COST = "cost_micros"


class Recorder(Conversation):
    """The main conversation of one decision; `input` is what the agent was asked, as data.

    `account_time_zone` is an IANA name and `currency` an ISO 4217 code. `generation_config` has the names of
    opoi's own, such as `temperature`, `top_p`, `max_output_tokens`.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        decision_id: str,
        account_id: str,
        account_time_zone: str,
        currency: str,
        input: Mapping[str, Any],  # noqa: A002 - the field's name
        model: str,
        generation_config: Mapping[str, Any] | None = None,
        attribution_setting: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(agent, clock)
        self.input = dict(input)
        self._snapshot: list[dict[str, Any]] = []
        self._sub_agents: list[tuple[str, str | None, Conversation]] = []
        self._setting: dict[str, Any] = {
            "agent": agent.name,
            "account_id": account_id,
            "decision_id": decision_id,
            "agent_version": agent.version,
            "account_time_zone": account_time_zone,
            "currency": currency,
            "attribution_setting": attribution_setting,
            # told now, and not when the run is over, where the input lacks a field of the rule
            "segment": agent.segment_of(self.input),
            **{f"{name}_id": one.artifact_id for name, one in zip(_IDS, agent.artifacts(), strict=True)},
            "model": model,
            "generation_config_json": canonical_json(dict(generation_config or {})),
            "input_json": canonical_json(self.input),
        }

    def take_snapshot(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Make the AgentSpec's snapshot calls, so that a replay can ask what this run did not.

        Before the run: a write of the run must not show in it. A call that fails is left out and logged,
        since it would answer nothing. The functions are plain ones, not coroutines.
        """
        for planned in self.agent.spec["snapshot"]:
            tool = planned["tool"]
            try:
                arguments = {
                    name: value.format_map(self.input) if isinstance(value, str) else value
                    for name, value in planned["arguments"].items()
                }
                response = body_of(functions[tool](**arguments))
            except Exception as error:  # noqa: BLE001 - a read beside the run must not end the run
                log.warning("the snapshot call of %s failed (%s)", tool, type(error).__name__)
                continue
            if response is None:
                log.warning("the snapshot call of %s answered something that is no JSON", tool)
                continue
            self._snapshot.append(
                {
                    "tool": tool,
                    "arguments_json": canonical_json(arguments),
                    "request_hash": self.agent.request_hash(tool, arguments),
                    "response_json": response,
                    "fetched_at": utc_milliseconds(self._clock()),
                }
            )

    def sub_agent(self, name: str, *, prompt: str | None = None) -> Conversation:
        """The conversation of a sub-agent that starts now. Its prompt is the AgentSpec's where none is given.

        What it found is the answer to the main agent's call, given with `answered` as for any other tool.
        """
        known = (self.agent.spec.get("sub_agents") or {}).get(name)
        if prompt is None and known is not None:
            prompt = known["prompt"]
        conversation = Conversation(self.agent, self._clock)
        with self._lock:
            self._sub_agents.append((name, None if prompt is None else sha256(prompt), conversation))
        return conversation

    def finish(
        self,
        action: str,
        *,
        rationale: str,
        target: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        decided_at: datetime | None = None,
    ) -> Decision:
        """The decision's record; decided now where no time is given.

        Raises AgentError for an action that the AgentSpec does not name, NotCanonical, ValueError.
        """
        amounts = dict(arguments or {})
        self.agent.check_action(action, amounts)
        turns = self.turns()
        runs: list[dict[str, Any]] = [
            {
                "run_id": f"{name}-{number}",
                "name": name,
                "prompt_id": prompt_id,
                "turns": one.turns(),
                "usage": one.usage(),
            }
            for number, (name, prompt_id, one) in enumerate(self._sub_agents, start=1)
        ]
        return Decision(
            self._setting,
            decided_at=utc_milliseconds(decided_at or self._clock()),
            turns=turns,
            sub_agent_runs=runs,
            snapshot=list(self._snapshot),
            action={"name": action, "target": target, "arguments_json": canonical_json(amounts)},
            rationale=rationale,
            usage=_sum([self.usage(), *(run["usage"] for run in runs)]),
            finish_reason=turns[-1].get("finish_reason") if turns else None,
        )


_IDS = ("prompt", "toolset", "spec")


def _sum(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """The usages as one; a figure that none has stays absent. Raises ValueError for two currencies."""
    found: dict[str, Any] = {
        name: sum(one[name] for one in usages if name in one)
        for name in (*_COUNTED, _COST)
        if any(name in one for one in usages)
    }
    currencies = {one["cost_currency"] for one in usages if "cost_currency" in one}
    if len(currencies) > 1:
        raise ValueError(f"one run is paid in one currency, not in {', '.join(sorted(currencies))}")
    return found | ({"cost_currency": currencies.pop()} if currencies else {})
