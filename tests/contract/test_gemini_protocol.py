"""The local model's server through the real google-genai client, on both platforms' addresses."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from local_stack.model.pretraining import base_model
from local_stack.model.registry import Registry
from local_stack.model.server import application
from testkit.local_model import Figures, declarations, question, talk

MODEL = "opoi-local"
PROMPT = "You are the media buyer of a performance marketing team.\n" + "- Follow the rules.\n" * 400
NO_CALLS = types.AutomaticFunctionCallingConfig(disable=True)


class Served:
    """A server in a thread, at a port of its own."""

    def __init__(self, home: Path) -> None:
        weights, version = base_model()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        registry = Registry(weights, version, home / "tuned")
        config = uvicorn.Config(application(registry, home), log_level="warning", lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve([self._socket]),))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop and wait."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer of an address of the server's own."""
        answer = httpx2.request(method, f"{self.url}{path}", json=body, timeout=60)
        return answer.json()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("local-model"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_faults(served: Served) -> Iterator[None]:
    yield
    served.ask("DELETE", "/local/faults")


def developer(url: str, version: str | None = None) -> genai.Client:
    options = types.HttpOptions(base_url=url, api_version=version)
    return genai.Client(enterprise=False, api_key="local", http_options=options)


def enterprise(url: str) -> genai.Client:
    return genai.Client(
        enterprise=True,
        project="a-project",
        location="a-place",
        credentials=Credentials(token="none"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=url),
    )


@pytest.fixture(params=["v1", "v1beta", "enterprise"])
def client(served: Served, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    made = enterprise(served.url) if request.param == "enterprise" else developer(served.url, request.param)
    with made as opened:
        yield opened


@pytest.fixture
def vertex(served: Served) -> Iterator[genai.Client]:
    with enterprise(served.url) as opened:
        yield opened


def configuration(**members: Any) -> types.GenerateContentConfig:
    functions = [
        types.FunctionDeclaration(
            name=declaration["name"],
            description=declaration["description"],
            parameters_json_schema={"type": "object"},
        )
        for declaration in declarations()[0]["functionDeclarations"]
    ]
    standard: dict[str, Any] = {
        "system_instruction": PROMPT,
        "tools": [types.Tool(function_declarations=functions)],
        "automatic_function_calling": NO_CALLS,
        "temperature": 0.7,
        "seed": 7,
        "response_logprobs": True,
    }
    return types.GenerateContentConfig(**{**standard, **members})


def first() -> types.Content:
    return types.Content.model_validate(question())


def ask(client: genai.Client, contents: list[types.Content], **members: Any) -> types.GenerateContentResponse:
    model = members.pop("model", MODEL)
    return client.models.generate_content(
        model=model, contents=list(contents), config=configuration(**members)
    )


def run(client: genai.Client, figures: Figures, **members: Any) -> list[types.GenerateContentResponse]:
    """A whole run, its answers given by the client's own types, its turns handed back as they came."""
    contents, responses = [first()], []
    for _ in range(6):
        response = ask(client, contents, **members)
        responses.append(response)
        content = response.candidates[0].content  # type: ignore[index]
        contents.append(content)  # type: ignore[arg-type]
        if not response.function_calls:
            return responses
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id,
                    name=call.name,
                    response={"output": figures.answer({"name": call.name, "args": call.args})},
                )
            )
            for call in response.function_calls
        ]
        contents.append(types.Content(role="user", parts=parts))
    raise AssertionError("the model does not come to an end")


def chosen(response: types.GenerateContentResponse) -> list[float]:
    result = response.candidates[0].logprobs_result  # type: ignore[index]
    assert result is not None
    return [float(token.log_probability or 0.0) for token in result.chosen_candidates or []]


def decision_of(responses: list[types.GenerateContentResponse]) -> dict[str, Any]:
    for response in responses:
        text = response.candidates[0].content.parts[0].text  # type: ignore[index, union-attr]
        if text and text.startswith("{"):
            found: dict[str, Any] = json.loads(text)
            return found
    raise AssertionError("no decision")


def test_a_whole_decision_with_tools(client: genai.Client) -> None:
    responses = run(client, Figures(purchases=(8,) * 7))
    calls = [call.name for response in responses for call in response.function_calls or []]
    assert list(dict.fromkeys(calls)) == ["get_insights", "get_campaign", "set_daily_budget"]
    assert list(decision_of(responses)) == ["rationale", "cited_metrics", "action"]
    assert responses[-1].text == "Done."
    for response in responses:
        candidate = response.candidates[0]  # type: ignore[index]
        scores = chosen(response)
        assert candidate.finish_reason is types.FinishReason.STOP
        assert candidate.avg_logprobs == pytest.approx(sum(scores) / len(scores))
        assert max(scores) <= 0.0
        usage = response.usage_metadata
        assert usage is not None
        assert usage.candidates_token_count == len(scores)
        assert (usage.prompt_token_count or 0) > len(PROMPT) // 4
    assert responses[0].model_version is not None
    assert responses[0].model_version.startswith("opoi-local@")


def test_the_tokens_are_the_text(client: genai.Client) -> None:
    response = run(client, Figures())[1]
    result = response.candidates[0].logprobs_result  # type: ignore[index]
    tokens = [str(token.token) for token in result.chosen_candidates or []]  # type: ignore[union-attr]
    text = response.candidates[0].content.parts[0].text  # type: ignore[index, union-attr]
    written = [token for token in tokens if token != "<end>" and not token.startswith("<set_")]
    assert "".join(written) == text


def test_the_same_seed_gives_the_same_bytes(served: Served) -> None:
    body = {
        "contents": [question()],
        "systemInstruction": {"parts": [{"text": PROMPT}]},
        "tools": declarations(),
        "generationConfig": {"seed": 3, "temperature": 1.0, "responseLogprobs": True, "logprobs": 5},
    }
    url = f"{served.url}/v1/models/{MODEL}:generateContent"
    assert httpx2.post(url, json=body).content == httpx2.post(url, json=body).content
    body["generationConfig"] = {"temperature": 1.0}
    identities = {httpx2.post(url, json=body).json()["responseId"] for _ in range(5)}
    assert len(identities) == 5


def test_log_probabilities_of_the_alternatives(client: genai.Client) -> None:
    result = ask(client, [first()], logprobs=5).candidates[0].logprobs_result  # type: ignore[index]
    assert result is not None
    tops = [position.candidates or [] for position in result.top_candidates or []]
    assert len(tops) == len(result.chosen_candidates or [])
    for top in tops:
        scores = [float(token.log_probability or 0.0) for token in top]
        assert 1 <= len(scores) <= 5
        assert scores == sorted(scores, reverse=True)
    silent = ask(client, [first()], response_logprobs=None)
    assert silent.candidates[0].logprobs_result is None  # type: ignore[index]


SCORED = Figures(purchases=(4, 6, 7, 3, 9, 8, 2))


def score(server: Served, contents: list[Any], model: str) -> dict[str, Any]:
    """What a model gives to a conversation, by the server's own address."""
    body = {
        "model": model,
        "contents": contents,
        "system_instruction": {"parts": [{"text": PROMPT}]},
        "tools": declarations(),
    }
    scored: dict[str, Any] = server.ask("POST", "/local/score", body)
    return scored


def test_scored_text_has_the_sampled_log_probabilities(served: Served) -> None:
    with developer(served.url) as client:
        responses = run(client, SCORED, temperature=1.0)
    scored = assert_scored_as_sampled(served, responses, MODEL)
    kinds = {token["kind"] for turn in scored["turns"] for token in turn["tokens"]}
    assert {"call", "rationale", "number", "action", "final"} >= kinds - {"glue", "arguments", "end"}


def assert_scored_as_sampled(
    server: Served, responses: list[types.GenerateContentResponse], model: str
) -> dict[str, Any]:
    """The contents that the client sent about `SCORED`, scored, have what they were sampled with, to 1e-6."""
    contents: list[Any] = [question()]
    for response in responses:
        content = response.candidates[0].content  # type: ignore[index]
        contents.append(content.model_dump(mode="json", exclude_none=True))  # type: ignore[union-attr]
        answers = [
            {
                "function_response": {
                    "id": call.id,
                    "name": call.name,
                    "response": SCORED.answer({"name": call.name, "args": call.args}),
                }
            }
            for call in response.function_calls or []
        ]
        if answers:
            contents.append({"role": "user", "parts": answers})
    scored = score(server, contents, model)
    assert [turn["content"] for turn in scored["turns"]] == list(range(1, 2 * len(responses), 2))
    for turn, response in zip(scored["turns"], responses, strict=True):
        found = [token["logProbability"] for token in turn["tokens"]]
        assert found == pytest.approx(chosen(response), abs=1e-6)
    assert scored["logProbabilitySum"] == pytest.approx(sum(map(sum, map(chosen, responses))), abs=1e-6)
    return scored


def test_signatures_and_ids_come_back_unharmed(client: genai.Client) -> None:
    """Also where a history was kept as JSON, which turns signatures into URL-safe base64."""
    response = ask(client, [first()])
    content = response.candidates[0].content  # type: ignore[index]
    signed = [part.thought_signature for part in content.parts or []]  # type: ignore[union-attr]
    assert signed[0]
    assert signed[1:] == [None] * (len(signed) - 1)
    kept = types.Content.model_validate(content.model_dump(mode="json", exclude_none=True))  # type: ignore[union-attr]
    answers = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id,
                name=call.name,
                response=Figures().answer({"name": call.name, "args": call.args}),
            )
        )
        for call in reversed(response.function_calls or [])
    ]
    decided = ask(client, [first(), kept, types.Content(role="user", parts=answers)])
    assert json.loads(str(decided.candidates[0].content.parts[0].text))["action"]["name"]  # type: ignore[index, union-attr]


def test_a_limit_cuts_the_turn(client: genai.Client) -> None:
    response = ask(client, [first()], max_output_tokens=1, automatic_continuation=False)
    assert response.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS  # type: ignore[index]
    assert len(chosen(response)) == 1


def test_streaming_gives_the_same_answer(client: genai.Client) -> None:
    contents = [types.Content.model_validate(question("Expected action: hold."))]
    config = configuration(system_instruction=None, tools=None)
    whole = client.models.generate_content(model=MODEL, contents=list(contents), config=config)
    pieces = list(client.models.generate_content_stream(model=MODEL, contents=list(contents), config=config))
    assert len(pieces) > 1
    assert "".join(piece.text or "" for piece in pieces) == whole.text
    assert pieces[-1].usage_metadata == whole.usage_metadata


def test_an_enum_answer_is_an_action_with_its_true_probability(client: genai.Client) -> None:
    """Over all seeds the shares add up: p(action | context), renormalized over the enum."""
    names = ["scale_up", "scale_down", "hold"]
    config = {
        "tools": None,
        "response_mime_type": "text/x.enum",
        "response_schema": {"type": "STRING", "enum": names},
        "logprobs": 3,
    }
    response = ask(client, [first()], **config)
    assert response.text in names
    top = response.candidates[0].logprobs_result.top_candidates[0].candidates  # type: ignore[index, union-attr]
    assert {token.token for token in top or []} == set(names)
    assert sum(2.718281828459045 ** float(token.log_probability or 0.0) for token in top or []) == (
        pytest.approx(1.0, abs=1e-6)
    )
    config["response_schema"] = {"type": "STRING", "enum": ["yes", "no"]}
    with pytest.raises(errors.ClientError, match="among its actions only"):
        ask(client, [first()], **config)


def test_the_bare_voice_writes_the_verdict_in_words_of_its_own(client: genai.Client) -> None:
    text = (
        'The agent decided on campaign 120330001: {"action":{"name":"scale_up"}}.\n'
        'The expert corrected it: {"name":"scale_down","target":"120330001",'
        '"arguments":{"daily_budget":8000}}. Write the corrected decision as JSON.'
    )
    found = []
    for seed in range(20):
        response = client.models.generate_content(
            model=MODEL, contents=text, config=types.GenerateContentConfig(seed=seed)
        )
        found.append(json.loads(str(response.text)))
    corrected = [one for one in found if one["action"]["name"] == "scale_down"]
    assert len(corrected) >= 17
    assert all(one["action"]["target"] == "120330001" for one in found)
    assert all(one["action"]["arguments"] == {"daily_budget": 8000} for one in corrected)
    assert all(one["cited_metrics"] == [] for one in found)


def test_counting_and_embedding(client: genai.Client) -> None:
    counted = client.models.count_tokens(model=MODEL, contents="abcd" * 100)
    assert 100 <= (counted.total_tokens or 0) <= 110
    same = "the budget goes up"
    texts = [same, same, "the budget goes down", "entirely other words here"]
    config = types.EmbedContentConfig(output_dimensionality=64)
    found = client.models.embed_content(model=MODEL, contents=list(texts), config=config).embeddings
    vectors = [one.values or [] for one in found or []]
    if len(vectors) == 1:
        pytest.fail("one vector for four texts")

    def likeness(one: int, other: int) -> float:
        return sum(left * right for left, right in zip(vectors[one], vectors[other], strict=True))

    assert [len(vector) for vector in vectors] == [64] * 4
    assert likeness(0, 1) == pytest.approx(1.0)
    assert 1.0 > likeness(0, 2) > likeness(0, 3)


def test_models_are_listed_and_an_unknown_one_is_not_found(client: genai.Client) -> None:
    assert client.models.get(model=MODEL).description
    for name in ("opoi-lokal", "x" * 1000):
        with pytest.raises(errors.ClientError) as caught:
            ask(client, [first()], model=name)
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_cached_contents(client: genai.Client) -> None:
    tools = configuration().tools
    cached = client.caches.create(
        model=MODEL,
        config=types.CreateCachedContentConfig(system_instruction=PROMPT, tools=tools, ttl="600s"),
    )
    name = str(cached.name)
    assert isinstance(cached.expire_time, datetime)
    assert client.caches.get(name=name).name == name
    plain = ask(client, [first()])
    through = ask(client, [first()], cached_content=name, system_instruction=None, tools=None)
    assert chosen(through) == chosen(plain)
    assert (through.usage_metadata.cached_content_token_count or 0) > 1000  # type: ignore[union-attr]
    with pytest.raises(errors.ClientError, match="CachedContent can not be used"):
        ask(client, [first()], cached_content=name)
    client.caches.delete(name=name)
    with pytest.raises(errors.ClientError) as caught:
        client.caches.get(name=name)
    assert caught.value.code == 404
    with pytest.raises(errors.ClientError, match="too small"):
        client.caches.create(model=MODEL, config=types.CreateCachedContentConfig(system_instruction="short"))


def test_faults_on_request(served: Served, client: genai.Client) -> None:
    served.ask("POST", "/local/faults", {"status": 429, "count": 1, "retrySeconds": 2.5})
    with pytest.raises(errors.ClientError) as caught:
        ask(client, [first()])
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = caught.value.details["error"]["details"]
    assert [detail["retryDelay"] for detail in details if detail["@type"].endswith("RetryInfo")] == ["2.5s"]
    assert ask(client, [first()]).candidates
    served.ask("POST", "/local/faults", {"status": 503, "count": 1})
    with pytest.raises(errors.ServerError):
        ask(client, [first()])
    served.ask("POST", "/local/faults", {"latencySeconds": 0.2})
    started = time.monotonic()
    ask(client, [first()])
    assert time.monotonic() - started >= 0.2
    served.ask("POST", "/local/faults", {"noLogProbabilities": True})
    with pytest.raises(errors.ClientError, match="Logprobs is not enabled"):
        ask(client, [first()])
    assert ask(client, [first()], response_logprobs=None).candidates


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"temperature": 3.0}, "temperature is 3.0"),
        ({"stop_sequences": ["x"]}, "stopSequences is not supported"),
        ({"response_logprobs": None, "logprobs": 3}, "logprobs needs responseLogprobs"),
    ],
)
def test_what_it_cannot_do_is_refused(client: genai.Client, members: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ClientError, match=words) as caught:
        ask(client, [first()], **members)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_broken_requests_are_answered_in_googles_shape(served: Served) -> None:
    url = f"{served.url}/v1/models/{MODEL}:generateContent"
    for answer, code in (
        (httpx2.post(url, content=b"{"), 400),
        (httpx2.post(url, json=[]), 400),
        (httpx2.post(url, json={"contents": [{"role": "robot", "parts": []}]}), 400),
        (httpx2.post(f"{served.url}/v1/nothing", json={}), 404),
        (httpx2.get(url), 404),
    ):
        assert answer.status_code == code
        assert set(answer.json()["error"]) == {"code", "message", "status"}


def rows_of(count: int, rule: str) -> list[dict[str, Any]]:
    """Rows in the agent's own words: hinted runs, without their hint."""
    weights, _ = base_model()
    rows = []
    for seed in range(count):
        purchases = (5,) * 6 + (2 + seed % 7,)
        note = f"Expected action: {'scale_up' if purchases[-1] > 5 else 'scale_down'}.\n{rule}"
        hinted = talk(weights, Figures(purchases=purchases), seed=seed, note=note, temperature=0.7)
        rows.append(
            {
                "systemInstruction": {"parts": [{"text": PROMPT}]},
                "contents": [question(), *hinted.contents[1:]],
                "tools": declarations(),
            }
        )
    return rows


def wait_for(vertex: genai.Client, name: str) -> types.TuningJob:
    for _ in range(600):
        job = vertex.tunings.get(name=name)
        if job.has_ended:
            return job
        time.sleep(0.1)
    raise AssertionError(f"{name} does not end")


def decisions(client: genai.Client, model: str) -> list[dict[str, Any]]:
    """What the model decides where yesterday broke with its week, a dozen times."""
    figures = Figures(purchases=(5,) * 6 + (2,))
    return [decision_of(run(client, figures, model=model, temperature=0.5, seed=seed)) for seed in range(12)]


def share_of_yesterday(found: list[dict[str, Any]]) -> float:
    """How often yesterday is cited before any other window."""
    first_cited = [one["cited_metrics"][0]["window"] for one in found if one["cited_metrics"]]
    return first_cited.count("yesterday") / len(found)


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
def test_a_tuning_job_fits_the_model_to_its_rows(tmp_path: Path, vertex: genai.Client) -> None:
    home = tmp_path / "home"
    server = Served(home)
    try:
        rows = rows_of(130, "Where to look: cpa, roas, yesterday.")
        path, held_out = tmp_path / "rows.jsonl", tmp_path / "held out.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[:120]))
        held_out.write_text("".join(json.dumps(row) + "\n" for row in rows[120:]))
        with enterprise(server.url) as client:
            job = client.tunings.tune(
                base_model=MODEL,
                training_dataset=types.TuningDataset(gcs_uri=path.as_uri()),
                config=types.CreateTuningJobConfig(
                    epoch_count=4,
                    learning_rate_multiplier=1.5,
                    tuned_model_display_name="yesterday",
                    validation_dataset=types.TuningValidationDataset(gcs_uri=held_out.as_uri()),
                ),
            )
            name = str(job.name)
            assert job.state is types.JobState.JOB_STATE_PENDING
            done = wait_for(client, name)
            assert done.state is types.JobState.JOB_STATE_SUCCEEDED, done.error
            statistics = done.tuning_data_stats.supervised_tuning_data_stats  # type: ignore[union-attr]
            assert statistics.tuning_dataset_example_count == 120  # type: ignore[union-attr]
            assert not statistics.dropped_example_reasons  # type: ignore[union-attr]
            assert [each.name for each in client.tunings.list()] == [name]
            endpoint = str(done.tuned_model.endpoint)  # type: ignore[union-attr]
            before, after = (decisions(client, model) for model in (MODEL, endpoint))
            assert share_of_yesterday(after) >= share_of_yesterday(before) + 0.3
            tuned = run(client, Figures(purchases=(5,) * 6 + (2,)), model=endpoint, temperature=0.0)
            lowered = [one["action"]["name"] == "scale_down" for one in after]
            assert sum(lowered) > len(lowered) / 2
            losses = server.ask("GET", f"/local/tuning-jobs/{name.rpartition('/')[2]}")["losses"]
            assert [loss["epoch"] for loss in losses] == [1, 2, 3, 4]
            assert losses[-1]["training"] < losses[0]["training"]
            assert all(0.0 < loss["validation"] < 1.0 for loss in losses)
            of_base, of_tuned = (
                sum(score(server, row["contents"], model)["logProbabilitySum"] for row in rows[120:])
                for model in (MODEL, endpoint)
            )
            assert of_tuned > of_base
            assert_scored_as_sampled(server, run(client, SCORED, model=endpoint, temperature=1.0), endpoint)
            again = client.tunings.tune(
                base_model=str(done.tuned_model.model),  # type: ignore[union-attr]
                training_dataset=types.TuningDataset(gcs_uri=str(path)),
                config=types.CreateTuningJobConfig(epoch_count=1),
            )
            continued = wait_for(client, str(again.name))
            assert str(continued.tuned_model.model).endswith("@2")  # type: ignore[union-attr]
    finally:
        server.stop()
    reopened = Served(home)
    try:
        with developer(reopened.url) as client:
            short = endpoint.rpartition("/")[2]
            repeated = run(client, Figures(purchases=(5,) * 6 + (2,)), model=short, temperature=0.0)
            assert [chosen(response) for response in repeated] == [chosen(response) for response in tuned]
        with enterprise(reopened.url) as client:
            assert client.tunings.get(name=name).state is types.JobState.JOB_STATE_SUCCEEDED
    finally:
        reopened.stop()


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1"),
        ('{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}', "none of its 1 rows"),
        (None, "there is no such file"),
    ],
)
def test_a_tuning_job_says_what_is_wrong_with_its_rows(
    vertex: genai.Client, tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "rows.jsonl"
    if text is not None:
        path.write_text(text)
    job = vertex.tunings.tune(base_model=MODEL, training_dataset=types.TuningDataset(gcs_uri=path.as_uri()))
    failed = wait_for(vertex, str(job.name))
    assert failed.state is types.JobState.JOB_STATE_FAILED
    assert words in str(failed.error.message)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
def test_a_tuning_job_can_be_cancelled(vertex: genai.Client, tmp_path: Path, served: Served) -> None:
    path = tmp_path / "rows.jsonl"
    row = json.dumps(rows_of(1, "Where to look: cpa, yesterday.")[0])
    path.write_text(f"{row}\n" * 200)
    job = vertex.tunings.tune(
        base_model=MODEL,
        training_dataset=types.TuningDataset(gcs_uri=path.as_uri()),
        config=types.CreateTuningJobConfig(epoch_count=100),
    )
    vertex.tunings.cancel(name=str(job.name))
    assert wait_for(vertex, str(job.name)).state is types.JobState.JOB_STATE_CANCELLED


def test_the_command_serves_and_stops(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "OPOI_HOME": str(tmp_path)}
    command = [sys.executable, "-P", "-m", "local_stack.model", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            try:
                health = httpx2.get(f"http://127.0.0.1:{port}/local/health").json()
                break
            except httpx2.ConnectError:
                assert process.poll() is None
                time.sleep(0.2)
        else:
            pytest.fail("the server does not answer")
        assert health["status"] == "ok"
        assert "toy" in health["notice"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert "toy for trying, tests and CI" in str(process.stderr.read() if process.stderr else "")
    finally:
        process.kill()
        process.communicate()
