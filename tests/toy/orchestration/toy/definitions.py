"""What this domain adds to Dagster."""

from __future__ import annotations

import dagster as dg


@dg.asset
def toy_tally() -> None:
    """Orders, messages and failures by phone."""


definitions = dg.Definitions(assets=[toy_tally])
