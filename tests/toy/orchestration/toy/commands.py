"""The domain's command."""

from __future__ import annotations

import click

from orchestration.local.target import query
from orchestration.terminal import say


@click.command()
def toy() -> None:
    """Shows the tally."""
    for phone, orders in query("SELECT phone, orders FROM headrace.toy_tally ORDER BY phone"):
        say(f"{phone}: {orders}")


COMMANDS = (toy,)
