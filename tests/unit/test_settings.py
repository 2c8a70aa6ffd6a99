"""Settings: where values come from, and what is said about wrong ones."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.settings import KafkaSettings, RegistrySettings
from streams.settings import Settings, load_settings
from streams.settings_errors import SettingsError, fields_of


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """What is said about `variables`."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_without_any_configuration_all_parts_are_on_this_machine(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path / ".opoi"
    for place in (
        settings.kafka.bootstrap_servers,
        settings.registry.url,
        settings.clickhouse.url,
        settings.model.base_url,
        settings.ads.graph_url,
    ):
        assert place is not None
        assert "127.0.0.1" in place


def test_environment_goes_before_dotenv_and_that_before_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {name: f"OPOI_{name}__" for name in ("KAFKA", "REGISTRY", "CLICKHOUSE")}
    home = tmp_path / "home"
    home.mkdir()
    (home / "stack.env").write_text(
        f"{lines['KAFKA']}PARTITIONS=1\n{lines['REGISTRY']}URL=http://stack:1\n{lines['CLICKHOUSE']}URL=http://stack:1\n"
    )
    Path(".env").write_text(
        f"OPOI_HOME={home}\n{lines['KAFKA']}PARTITIONS=2\n{lines['REGISTRY']}URL=http://dotenv:1\n"
    )
    monkeypatch.setenv("OPOI_KAFKA__PARTITIONS", "3")
    settings = load_settings()
    assert settings.kafka.partitions == 3
    assert settings.registry.url == "http://dotenv:1"
    assert settings.clickhouse.url == "http://stack:1"


def test_each_wrong_value_is_one_line_with_variable_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = problems(
        monkeypatch,
        OPOI_KAFKA__SECURITY_PROTOCOL="TLS",
        OPOI_KAFKA__PARTITIONS="0",
        OPOI_REGISTRY__URL="registry:8081",
        OPOI_LOCAL__KAFKA_PORT="many",
    )
    assert found == [
        "OPOI_KAFKA__SECURITY_PROTOCOL='TLS' (environment): "
        "must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'",
        "OPOI_KAFKA__PARTITIONS='0' (environment): must be greater than or equal to 1",
        "OPOI_REGISTRY__URL='registry:8081' (environment): must be a URL such as http://127.0.0.1:8081",
        "OPOI_LOCAL__KAFKA_PORT='many' (environment): "
        "must be a valid integer, unable to parse string as an integer",
    ]


def test_names_that_nothing_reads_are_told_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(
        monkeypatch,
        OPOI_KAFKA_BOOTSTRAP_SERVERS="broker:9092",
        OPOI_KAFAK__PARTITIONS="4",
        OPOI_KAFKA__BOOTSTRAP_SERVER="broker:9092",
    )
    assert found == [
        "OPOI_KAFKA_BOOTSTRAP_SERVERS (environment): no such setting; OPOI_KAFKA__BOOTSTRAP_SERVERS is meant",
        "OPOI_KAFAK__PARTITIONS (environment): no such group; did you mean OPOI_KAFKA?",
        "OPOI_KAFKA__BOOTSTRAP_SERVER (environment): no such setting; "
        "did you mean OPOI_KAFKA__BOOTSTRAP_SERVERS?",
    ]


def test_names_that_kubernetes_sets_for_services_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_METRICS_PORT", "tcp://10.0.0.1:9100")
    monkeypatch.setenv("OPOI_METRICS_PORT_9100_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("OPOI_REGISTRY_SERVICE_HOST", "10.0.0.1")
    assert load_settings().metrics.port is None


def test_what_is_no_json_is_told_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, OPOI_KAFKA__TOPIC_NAMES="a=b")
    assert line.startswith("OPOI_KAFKA__TOPIC_NAMES='a=b' (environment): must be a JSON object")


def test_a_secret_is_never_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(monkeypatch, OPOI_KAFKA__SASL_PASSWORD='{"hidden": 1}', OPOI_KAFKA__SASL_MECHANISM="x")
    assert not any("hidden" in line for line in found)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OPOI_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            "SASL_SSL also needs sasl_mechanism, sasl_username, sasl_password",
        ),
        ({"OPOI_REGISTRY__USERNAME": "reader"}, "username and password go together"),
        ({"OPOI_MODEL__ENTERPRISE": "true"}, "enterprise also needs project and location"),
        (
            {"OPOI_PIPELINE__VERDICT_WAIT_DAYS": "31"},
            "verdict_wait_days (31.0) must not exceed horizon_days (30.0)",
        ),
    ],
)
def test_settings_that_need_one_another(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    (line,) = problems(monkeypatch, **variables)
    assert said in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPOI_MODEL__NAME", "../x"),
        ("OPOI_MODEL__API_VERSION", "v1/../v2"),
        ("OPOI_MODEL__PROJECT", "p?x=1"),
        ("OPOI_MODEL__LOCATION", "eu#"),
        ("OPOI_PIPELINE__CORRECTOR_MODEL", "%2e%2e"),
        ("OPOI_PIPELINE__JUDGE_MODELS", '["good", "a//b"]'),
        ("OPOI_KAFKA__TOPIC_NAMES", '{"agent.decisions": ".."}'),
        ("OPOI_KAFKA__TOPIC_NAMES", '{"agent.decisions": "a/b"}'),
    ],
)
def test_what_becomes_part_of_an_address_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    (line,) = problems(monkeypatch, **{variable: value})
    assert line.startswith(f"{variable}=")
    assert ": must be " in line


def test_the_names_of_models_on_every_platform_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gemini-2.5-flash", "models/x", "projects/p/locations/eu/endpoints/1", "meta/llama-3@001"):
        monkeypatch.setenv("OPOI_MODEL__NAME", name)
        assert load_settings().model.name == name


def test_an_empty_variable_takes_a_default_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_MODEL__BASE_URL", "")
    assert load_settings().model.base_url is None


def test_client_configurations_hold_secrets_in_the_clear() -> None:
    kafka = KafkaSettings(
        bootstrap_servers="a:1,b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="user",
        sasl_password=SecretStr("hidden"),
        topic_names={"agent.decisions": "prod.agent.decisions"},
    )
    assert kafka.client_config() == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "user",
        "sasl.password": "hidden",
    }
    assert kafka.physical("agent.decisions") == "prod.agent.decisions"
    assert kafka.physical("expert.verdicts") == "expert.verdicts"
    registry = RegistrySettings(url="http://r:1/", username="user", password=SecretStr("hidden"))
    assert registry.client_config() == {
        "url": "http://r:1",
        "timeout": 5,
        "basic.auth.user.info": "user:hidden",
    }
    assert "hidden" not in repr(kafka) + repr(registry)


def test_every_setting_says_what_it_is() -> None:
    assert [path for path, field in fields_of(Settings) if not field.description] == []
