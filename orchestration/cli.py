"""Command `headrace`. Each command imports what it needs when it runs, so that the worker never loads Dagster."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

import click

import orchestration
from orchestration.errors import HeadraceError
from orchestration.terminal import console, say, show_table


def _found() -> dict[str, click.Command]:
    """The commands of every package that has a module `commands`, by name; each imports what it needs when it runs."""
    packages = sorted(module.name for module in pkgutil.iter_modules(orchestration.__path__) if module.ispkg)
    found: dict[str, click.Command] = {}
    for package in packages:
        if importlib.util.find_spec(name := f"orchestration.{package}.commands") is not None:
            found |= {str(command.name): command for command in importlib.import_module(name).COMMANDS}
    return found


class HeadraceGroup(click.Group):
    """Shows a HeadraceError as a sentence, and exits with its code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_found()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _found().get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            say(f"headrace: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=HeadraceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headrace")
def main() -> None:
    """Campaign statistics kept up to date from your PostgreSQL's own change stream.

    Every command acts on HEADRACE_DATABASE_URL; unset, on an embedded server under HEADRACE_HOME (./var).
    """


@main.command()
def settings() -> None:
    """Lists the settings in force; secrets are hidden."""
    from orchestration.settings import read_settings

    found = read_settings()
    rows = []
    for name, field in type(found).model_fields.items():
        variable = str(field.validation_alias) if field.validation_alias else f"HEADRACE_{name.upper()}"
        value = getattr(found, name)
        if isinstance(value, tuple):
            value = ",".join(value) or None
        rows.append((variable, "unset" if value is None else value, field.description or ""))
    screen = console()
    if not screen.is_terminal:
        show_table("Settings", ("variable", "value", "meaning"), rows)
        return
    for variable, value, meaning in rows:
        say(f"{variable} = {value}\n    {meaning}")


if __name__ == "__main__":
    main()
