"""The real google-genai client over a transport in memory: what is sent, what is read, how it fails."""

import base64
import json
import time

import httpx2
import pytest
import stamina

from agent.model import GeminiModel
from agent.model_wire import generation_config
from agent.ports import (
    GenerationConfig,
    Message,
    ModelAway,
    ModelGone,
    ModelRefused,
    ModelRequest,
    QuotaExceeded,
)
from agent.settings import ModelSettings
from schemas.records import Part, TokenLogProbability, Turn, Usage

QUESTION = Message(Turn(role="user", parts=(Part(kind="text", text="Decide."),)))
DECLARATION = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}


def candidate(*parts, finish="STOP", **more):
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, **more}]
    }


def error(code, status, *details, message="no"):
    return code, {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


class Server:
    """Answers in order; keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        code, body, *headers = answer if isinstance(answer, tuple) else (200, answer)
        return httpx2.Response(code, json=body, headers=headers[0] if headers else None)

    @property
    def bodies(self):
        return [json.loads(request.content) for request in self.requests]


@pytest.fixture(autouse=True)
def fast_retries():
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def served():
    made = []

    def serve(*answers, **settings):
        server = Server(*answers)
        model = GeminiModel(
            ModelSettings(base_url="http://model.invalid", **settings), transport=httpx2.MockTransport(server)
        )
        made.append(model)
        return model, server

    yield serve
    for model in made:
        model.close()


def test_a_request_carries_prompt_tools_seed_and_turns_off_what_the_library_would_do_by_itself(served):
    model, server = served(candidate({"text": "ok"}))
    config = GenerationConfig(temperature=0.5, max_output_tokens=99, thinking_budget=0)
    model.generate(
        ModelRequest("m", [QUESTION], system="You are.", declarations=[DECLARATION], config=config, seed=7)
    )
    request, body = server.requests[0], server.bodies[0]
    assert str(request.url) == "http://model.invalid/v1/models/m:generateContent"
    assert request.headers["x-goog-api-key"] == "local"
    assert body["systemInstruction"]["parts"] == [{"text": "You are."}]
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Decide."}]}]
    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == ["look"]
    generation = body["generationConfig"]
    assert (generation["seed"], generation["temperature"], generation["maxOutputTokens"]) == (7, 0.5, 99)
    assert generation["responseLogprobs"] is True


def test_a_continued_answer_is_a_finish_reason_and_not_more_calls(served):
    model, server = served(candidate({"text": "half"}, finish="CONTINUATION", continuationToken="YQ=="))
    reply = model.generate(ModelRequest("m", [QUESTION]))
    assert reply.message.turn.finish_reason == "CONTINUATION"
    assert len(server.requests) == 1


def test_calls_thoughts_and_signatures_are_kept_and_go_back_as_they_came(served):
    signature = base64.b64encode(b"\xff\xfe\x00").decode()
    first = candidate(
        {"text": "hm", "thought": True},
        {
            "functionCall": {"id": "c1", "name": "look", "args": {"b": 1, "a": "ü"}},
            "thoughtSignature": signature,
        },
        {"functionCall": {"name": "look"}},
    )
    model, server = served(first, candidate({"text": "ok"}))
    reply = model.generate(ModelRequest("m", [QUESTION]))
    thought, one, two = reply.message.turn.parts
    assert (thought.kind, thought.text) == ("thought", "hm")
    assert (one.kind, one.call_id, one.tool) == ("function_call", "c1", "look")
    assert one.arguments_json == '{"a":"ü","b":1}'
    assert one.signature == b"\xff\xfe\x00"
    assert (two.arguments_json, two.signature) == ("{}", None)
    answered = Message(
        Turn(
            role="user",
            parts=(
                Part(kind="function_response", call_id="c1", tool="look", response_json='{"seen":[1]}'),
                Part(kind="function_response", tool="look", error="there is nothing"),
            ),
        )
    )
    model.generate(ModelRequest("m", [QUESTION, reply.message, answered]))
    sent = server.bodies[1]["contents"]
    assert base64.urlsafe_b64decode(sent[1]["parts"][1]["thoughtSignature"]) == b"\xff\xfe\x00"
    assert sent[1]["parts"][1]["functionCall"] == {"id": "c1", "name": "look", "args": {"b": 1, "a": "ü"}}
    assert sent[2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "look", "response": {"seen": [1]}}},
        {"functionResponse": {"name": "look", "response": {"error": "there is nothing"}}},
    ]


def test_a_conversation_from_a_record_is_sent_like_the_one_it_was_recorded_from(served):
    first = candidate(
        {"text": "", "thoughtSignature": "YWI="},
        {"text": "I look."},
        {"functionCall": {"id": "c1", "name": "look", "args": {"a": 1}}},
    )
    model, server = served(first, candidate({"text": "ok"}), candidate({"text": "ok"}))
    reply = model.generate(ModelRequest("m", [QUESTION]))
    model.generate(ModelRequest("m", [QUESTION, reply.message]))
    model.generate(ModelRequest("m", [QUESTION, Message(reply.message.turn)]))
    assert server.bodies[1]["contents"] == server.bodies[2]["contents"]


def test_log_probabilities_come_from_the_tokens(served):
    tokens = [{"token": "o", "logProbability": -0.1}, {"token": "k", "logProbability": -0.9}]
    with_all = candidate({"text": "ok"}, logprobsResult={"chosenCandidates": tokens}, avgLogprobs=-0.9)
    holed = candidate({"text": "ok"}, logprobsResult={"chosenCandidates": [*tokens, {"token": "!"}]})
    model, _ = served(with_all, holed, candidate({"text": "ok"}))
    replies = [model.generate(ModelRequest("m", [QUESTION])) for _ in range(3)]
    assert replies[0].message.turn.log_probabilities == (
        TokenLogProbability(token="o", log_probability=-0.1),
        TokenLogProbability(token="k", log_probability=-0.9),
    )
    assert replies[1].message.turn.log_probabilities == ()
    assert replies[2].message.turn.log_probabilities == ()


def test_usage_is_read_and_what_is_missing_stays_absent(served):
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}
    model, _ = served(candidate({"text": "ok"}) | {"usageMetadata": counts}, candidate({"text": "ok"}))
    assert model.generate(ModelRequest("m", [QUESTION])).usage == Usage(
        input_tokens=10, output_tokens=3, thought_tokens=2, model_calls=1
    )
    assert model.generate(ModelRequest("m", [QUESTION])).usage == Usage(model_calls=1)


def test_a_model_that_refuses_log_probabilities_is_asked_without_them_from_then_on(served):
    refusal = error(400, "INVALID_ARGUMENT", message="Logprobs is not enabled for models/m")
    model, server = served(refusal, candidate({"text": "ok"}), candidate({"text": "ok"}))
    for _ in range(2):
        model.generate(ModelRequest("m", [QUESTION]))
    asked = ["responseLogprobs" in body.get("generationConfig", {}) for body in server.bodies]
    assert asked == [True, False, False]


def test_a_blocked_prompt_is_an_empty_turn_with_its_reason(served):
    model, _ = served({"promptFeedback": {"blockReason": "SAFETY"}}, {})
    reasons = [model.generate(ModelRequest("m", [QUESTION])).message.turn.finish_reason for _ in range(2)]
    assert reasons == ["SAFETY", "NO_CANDIDATE"]


def test_5xx_is_tried_again_and_then_the_model_is_away(served):
    model, _ = served(error(503, "UNAVAILABLE"), candidate({"text": "ok"}))
    assert model.generate(ModelRequest("m", [QUESTION])).attempts == 2
    model, server = served(*[error(503, "UNAVAILABLE", message="overloaded")] * 3)
    with pytest.raises(ModelAway, match="model 'm' answered 503 UNAVAILABLE: overloaded") as raised:
        model.generate(ModelRequest("m", [QUESTION]))
    assert (raised.value.attempts, len(server.requests)) == (3, 3)


def test_429_waits_as_long_as_the_server_says_or_gives_up_at_once(served):
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}
    model, _ = served(error(429, "RESOURCE_EXHAUSTED", retry_info), candidate({"text": "ok"}))
    assert model.generate(ModelRequest("m", [QUESTION])).attempts == 2
    long = retry_info | {"retryDelay": "3600s"}
    model, server = served(error(429, "RESOURCE_EXHAUSTED", long))
    with pytest.raises(QuotaExceeded) as raised:
        model.generate(ModelRequest("m", [QUESTION], timeout_seconds=5))
    assert (raised.value.retry_after, len(server.requests)) == (3600.0, 1)


@pytest.mark.parametrize("code", [429, 503])
def test_the_servers_own_delay_is_waited_for(served, code):
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}
    model, _ = served(error(code, "AWAY", retry_info), candidate({"text": "ok"}))
    stamina.set_testing(False)
    begun = time.monotonic()
    assert model.generate(ModelRequest("m", [QUESTION])).attempts == 2
    assert 0.3 <= time.monotonic() - begun < 20


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"}


@pytest.mark.parametrize(
    "answer",
    [
        error(503, "UNAVAILABLE", RETRY_INFO),
        (*error(503, "UNAVAILABLE"), {"Retry-After": "3600"}),
    ],
)
def test_what_is_away_says_for_how_long(served, answer):
    model, _ = served(answer)
    with pytest.raises(ModelAway) as raised:
        model.generate(ModelRequest("m", [QUESTION], timeout_seconds=5))
    assert raised.value.retry_after == 3600.0


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (error(400, "INVALID_ARGUMENT"), ModelRefused),
        (error(404, "NOT_FOUND"), ModelGone),
        (error(404, None), ModelRefused),
        (error(401, "UNAUTHENTICATED"), ModelAway),
        (error(403, "PERMISSION_DENIED"), ModelAway),
    ],
)
def test_what_another_try_would_not_change_is_not_tried_again(served, answer, raised):
    model, server = served(answer)
    with pytest.raises(raised) as caught:
        model.generate(ModelRequest("m", [QUESTION]))
    assert len(server.requests) == 1
    assert caught.value.attempts == 1


@pytest.mark.parametrize("failure", [httpx2.ConnectError("refused"), httpx2.ReadTimeout("slow")])
def test_a_server_that_cannot_be_reached_is_a_model_that_is_away(served, failure):
    model, server = served(*[failure] * 3)
    with pytest.raises(ModelAway):
        model.generate(ModelRequest("m", [QUESTION]))
    assert len(server.requests) == 3


def test_a_part_that_cannot_be_used_is_a_refusal_without_a_code(served):
    model, _ = served(candidate({"inlineData": {"mimeType": "image/png", "data": "YQ=="}}))
    with pytest.raises(ModelRefused, match="a part that holds inline_data") as raised:
        model.generate(ModelRequest("m", [QUESTION]))
    assert raised.value.code is None


@pytest.mark.parametrize("seconds", [0.001, 0.0104, 4.9999, 600.0])
def test_a_call_times_out_at_its_end_and_not_before(seconds):
    sent = generation_config(ModelRequest("m", [QUESTION]), False, seconds)
    assert seconds * 1000 <= sent.http_options.timeout < seconds * 1000 + 1


NO_NAMES = ["", "..", "../x", "a/../b", "a?b", "a#b", "%2e", "a\0b", "a\n", "\ud800", "x" * 70000]


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
def test_a_name_that_leads_to_another_address_is_refused_unasked(served, name):
    model, server = served()
    with pytest.raises(ModelRefused) as caught:
        model.generate(ModelRequest(name, [QUESTION]))
    assert (caught.value.code, caught.value.attempts, server.requests) == (400, 0, [])
    assert "must be names separated by /" in str(caught.value)
    assert len(str(caught.value)) < 250
