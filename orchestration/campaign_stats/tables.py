"""The tables behind this domain's assets, as Dagster shows them: columns, types, what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEMPLATE_STATS = "campaign_template_stats"
COMPUTED_STATS = "campaign_computed_stats"
ASSETS = (TEMPLATE_STATS, COMPUTED_STATS)

# What a campaign's messages are counted by, in the order of the funnel.
COUNTERS = ("total", "sent", "delivered", "read", "replied", "failed", "failed_queue")


@dataclass(frozen=True)
class Column:
    """type: as PostgreSQL names it."""

    name: str
    type: str
    description: str
    nullable: bool = False


_CAMPAIGN = Column("campaign_id", "uuid", "The campaign, by the application's id.")

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    TEMPLATE_STATS: (
        _CAMPAIGN,
        Column(
            "template_name", "text", "The message template; null for messages without one.", nullable=True
        ),
        Column("total", "bigint", "Messages: rows in the application's send queue."),
        Column("sent", "bigint", "Messages the queue calls sent, or of which any status but failed arrived."),
        Column("delivered", "bigint", "Messages of which delivered, read or played arrived."),
        Column("read", "bigint", "Messages of which read or played arrived."),
        Column(
            "replied",
            "bigint",
            "Messages that were answered within the reply window, or by explicit reference.",
        ),
        Column("failed", "bigint", "Messages not delivered that the queue or the provider calls failed."),
        Column("failed_queue", "bigint", "The part of failed that the queue row says."),
        Column("updated_at", "timestamp with time zone", "When these counters last changed."),
        Column(
            "template_md5",
            "uuid",
            "md5 of template_name, zeros where there is none: the key, with campaign_id.",
        ),
    ),
    COMPUTED_STATS: (
        _CAMPAIGN,
        Column("template_stats", "jsonb", "Counters and rates of each template, as an array."),
        Column("totals", "jsonb", "Counters and rates of the whole campaign, and median times."),
        Column("state", "text", "Whether the numbers still move: live, settling, frozen or amended."),
        Column("version", "bigint", "Rises by one when the numbers change."),
        Column("checksum", "text", "md5 of template_stats and totals."),
        Column("computed_at", "timestamp with time zone", "When the numbers last changed."),
        Column(
            "frozen_at",
            "timestamp with time zone",
            "When the numbers were frozen or last amended; null until then.",
            nullable=True,
        ),
        Column(
            "facts",
            "jsonb",
            "Name, status and dates of the campaign as they were when it was frozen.",
            nullable=True,
        ),
        Column(
            "deleted_at",
            "timestamp with time zone",
            "When the application had deleted the frozen campaign; null while it is there.",
            nullable=True,
        ),
    ),
}
