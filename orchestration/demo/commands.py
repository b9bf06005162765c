"""`headrace demo …`: the example application's tables, rows and traffic, in the database that the environment names."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from orchestration.demo.campaign_stats.load import LoadedCampaign, create_schema, midnight
from orchestration.demo.campaign_stats.load import load as load_campaigns
from orchestration.demo.campaign_stats.simulate import simulate as run_simulation
from orchestration.local.server import stop_server
from orchestration.local.target import absolute_home, database_url
from orchestration.settings import read_settings


@click.group()
def demo() -> None:
    """The example application: its tables, its rows, its traffic.

    \b
    The order on a database is
      headrace demo schema    the application's tables
      headrace migrate        what Headrace adds
      headrace demo load      rows
    and then, as long as you like,
      headrace demo simulate  traffic

    All act on HEADRACE_DATABASE_URL, schema HEADRACE_SOURCE_SCHEMA (default: public). Without a URL they act
    on the embedded server under HEADRACE_HOME (default: ./var), which they start and leave running.
    """


@demo.command()
def schema() -> None:
    """Make the example application's five tables.

    Those that exist stay as they are, with their rows.
    """
    settings = read_settings()
    create_schema(database_url(settings), settings.source_schema)
    click.echo(f"The example's tables are in schema {settings.source_schema}.")


@demo.command()
@click.option(
    "--campaigns",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="How many campaigns to load.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="The same seed gives the same rows; each seed can be loaded once.",
)
def load(campaigns: int, seed: int) -> None:
    """Load made-up campaigns, 273,087 rows each.

    A campaign has 50,857 rows in send_queue and in campaign_contacts, 121,679 in message_status_logs and
    49,694 in messages, and lies in the ten days before today (UTC). Statuses come late, twice and out of
    order. A campaign is loaded whole or not at all.
    """
    settings = read_settings()
    url = database_url(settings)
    begun = time.monotonic()

    def said(campaign: LoadedCampaign) -> None:
        seconds = time.monotonic() - begun
        click.echo(
            f"{campaign.name} ({campaign.status}): {campaign.total:,} rows, {seconds:.1f} s from the start"
        )

    report = load_campaigns(
        url, settings.source_schema, campaigns, seed, midnight(datetime.now(UTC)), on_campaign=said
    )
    click.echo(
        f"{report.total:,} rows of {len(report.campaigns)} campaigns in schema {settings.source_schema}, "
        f"{time.monotonic() - begun:.1f} s."
    )


@demo.command()
@click.option(
    "--rate",
    type=click.FloatRange(0, 5000, min_open=True),
    default=20,
    show_default=True,
    help="Events a second, on average; each is a transaction.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=0,
    help="How long; without it, or with 0, until Ctrl-C.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of what happens; default: another one each time.")
def simulate(rate: float, seconds: float, seed: int | None) -> None:
    """Act as the example application would under live traffic.

    Campaigns come, are sent, are completed; messages are queued, sent, or fail; status webhooks come late, twice and
    out of order, before their message has its id, for messages nobody knows; people reply; rows are edited and
    deleted, and now and then a whole small campaign. Once `headrace migrate` has run, half of the webhooks go in as raw
    bodies through headrace.ingest_whatsapp_webhook, the others as rows.

    It changes and deletes only what this very run made: campaigns named "Simulated …", and the messages in
    them. It refuses tables that are not the example's. Several may run at once. When it ends, after --seconds, by
    Ctrl-C or SIGTERM, it completes the campaigns that it had open, says what it did, and exits with 0.
    """
    settings = read_settings()
    run_simulation(
        database_url(settings),
        settings.source_schema,
        rate=rate,
        seconds=seconds or None,
        seed=seed,
        say=click.echo,
    )


@demo.command()
def stop() -> None:
    """Stop the embedded server under HEADRACE_HOME.

    It starts again by itself with the next command that needs it.
    """
    stop_server(absolute_home(read_settings()))
    click.echo("The embedded server is stopped.")


COMMANDS = (demo,)
