"""Commands for one machine: everything at once, and the environment for a plain `dagster dev`."""

from __future__ import annotations

import shlex

import click

from orchestration.settings import read_settings


@click.command()
@click.option("--no-demo", is_flag=True, help="Neither make the example's tables, nor rows, nor traffic.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of Dagster's UI."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 5000),
    default=2,
    show_default=True,
    help="Events a second of simulated traffic; 0: none.",
)
def up(no_demo: bool, port: int, rate: float) -> None:
    """Start everything on this machine; Ctrl-C ends it all.

    \b
    That is, in this order:
      the embedded PostgreSQL, unless HEADRACE_DATABASE_URL and DAGSTER_PG_URL name servers of yours
      the example's tables, where they are missing
      schema headrace (what `headrace migrate` does)
      two campaigns of rows, where the tables are empty
      the worker, and Dagster with its UI on http://127.0.0.1:3000, for whoever opens the link it prints
      traffic in campaigns of its own (what `headrace demo simulate` does)

    Everything it keeps is under HEADRACE_HOME (default: ./var). After a crash or a power cut just start it
    again. With a database of your own, whose tables are yours to fill, add --no-demo.
    """
    from orchestration.local.up import run_up

    run_up(read_settings(), port=port, demo=not no_demo, rate=rate)


@click.command()
def env() -> None:
    """Print the variables with which a plain `dagster dev` works.

    \b
    Use it as
      eval "$(headrace env)"
      dagster dev

    Starts the embedded server if that is the one, and leaves it running. The output holds passwords if your
    URLs do. A plain `dagster dev` lets in every user of this machine, and every page that is open in a browser.
    """
    from orchestration.local.home import make_dagster_home
    from orchestration.local.target import absolute_home, dagster_storage_url, database_url

    settings = read_settings()
    home = absolute_home(settings)
    dagster_home = make_dagster_home(home)
    variables = {
        "HEADRACE_HOME": str(home),
        "HEADRACE_DATABASE_URL": database_url(settings),
        "DAGSTER_PG_URL": dagster_storage_url(settings),
        "DAGSTER_HOME": str(dagster_home),
    }
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


COMMANDS = (up, env)
