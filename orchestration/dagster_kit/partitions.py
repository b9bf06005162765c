"""The partitions of assets: UTC days. A domain decides what happened on a day, such as a campaign's creation or a change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from orchestration.errors import HeadraceError

START = "HEADRACE_PARTITIONS_START"
DAYS_BEFORE_TODAY = 30


def first_day(environment: Mapping[str, str], today: date) -> date:
    """The first day that is a partition: the one in the environment, or else 30 days before today.

    Raises:
        HeadraceError: the variable is set, but is not a day.
    """
    value = environment.get(START, "").strip()
    if not value:
        return today - timedelta(days=DAYS_BEFORE_TODAY)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise HeadraceError(f"settings: {START}: must be a day such as 2026-01-31") from None


# The only setting that is read while definitions load, because Dagster needs its partitions then.
# end_offset: today is a partition too, not only the days that are over.
utc_days = dg.DailyPartitionsDefinition(
    start_date=first_day(os.environ, datetime.now(UTC).date()).isoformat(), timezone="UTC", end_offset=1
)
