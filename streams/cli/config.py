"""`opoi config`: the effective settings and where each came from."""

import json
from typing import Annotated, Any

import typer
from pydantic import BaseModel, SecretStr

from streams.cli.output import echo, echo_json
from streams.settings import Settings, load_settings, variables
from streams.settings_errors import MASK, fields_of, variable_of, where_set

app = typer.Typer(help="Show the effective settings.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show the effective settings."""


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting, its value and where it was set; secrets are masked.

    Example usage: opoi config show | grep KAFKA
    """
    rows = effective(load_settings())
    if as_json:
        echo_json(rows)
        return
    for variable, row in rows.items():
        echo(f"{variable}={_text(row['value'])}  # {row['from']}")


def effective(settings: Settings) -> dict[str, dict[str, Any]]:
    """Variable to value (secrets masked), origin and meaning, in the order of the models."""
    layers = variables()
    return {
        (name := variable_of(path)): {
            "value": _shown(settings, path),
            "from": where_set(name, layers) or "default",
            "meaning": field.description,
        }
        for path, field in fields_of(Settings)
    }


def _shown(settings: BaseModel, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, dict):
        # a model's own dump masks its secrets
        return {
            name: one.model_dump(mode="json") if isinstance(one, BaseModel) else one
            for name, one in value.items()
        }
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
