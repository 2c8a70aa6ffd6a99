"""A command group that imports a command only when it runs."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from streams.errors import UserError


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is not imported yet.

    `target` is `module:attribute`, a function (one command) or a `typer.Typer` (a group of commands);
    `help` is its line in `opoi --help`, `panel` its section there.
    """

    target: str
    help: str
    panel: str

    def load(self, name: str) -> Any:
        """Import the target; a click command called `name`. Raises UserError where an extra is missing."""
        module, _, attribute = self.target.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not module.startswith("local_stack."):
                raise
            why = f"`opoi {name}` needs {error.name}, which is not installed"
            raise UserError(f"{why}; `pip install 'opoi[local]'` brings it") from error
        if isinstance(found, typer.Typer):
            found.rich_markup_mode = None  # plain text at every level: rich costs half a second a start
            group = typer.main.get_group(found)
            group.name = name
            return group
        app = typer.Typer(rich_markup_mode=None)
        app.command(name, help=None if found.__doc__ else self.help)(found)
        return typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """Lists commands by the texts of `table`, and imports only the command that is called."""

    table: dict[str, Lazy]

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the table's order."""
        return [*self.commands, *self.table]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A placeholder, enough for help and completion, without an import."""
        lazy = self.table.get(cmd_name)
        if lazy is None:
            return super().get_command(ctx, cmd_name)
        return TyperCommand(cmd_name, help=lazy.help, short_help=lazy.help)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, one section a panel."""
        for panel in dict.fromkeys(lazy.panel for lazy in self.table.values()):
            with formatter.section(panel):
                formatter.write_dl([(n, lazy.help) for n, lazy in self.table.items() if lazy.panel == panel])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command `args[0]`, imported, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, self.table[name].load(name) if name in self.table else command, rest
