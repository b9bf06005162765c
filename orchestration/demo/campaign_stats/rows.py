"""The example application's rows: made-up campaigns, the same at every call.

The rows of a seed are untidy on purpose, the way providers and applications are: statuses late, twice, out of order or
left out, a delivery after a failure, invented status values, ids that match nothing, replies in conversations that
several campaigns share. Everything is before `now`.

Here: a campaign's rows in COPY's text format. Not here: what is sent (`sending.py`), what comes back (`answers.py`), writing
it (`load.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from orchestration.demo.campaign_stats.answers import make_logs, make_messages
from orchestration.demo.campaign_stats.sending import make_queue, plan_campaign
from orchestration.demo.campaign_stats.values import MINUTE, NULL, SECOND, stamps, uuids

_THEMES = (
    "Spring offers",
    "Cart reminders",
    "Appointments",
    "Order updates",
    "Event invitations",
    "Loyalty bonus",
)


@dataclass(frozen=True)
class MadeCampaign:
    """One campaign and all its rows.

    Attributes:
        tables: per table, in loading order, its columns in the order of `load.COLUMNS`: lists of equal length,
            each value in COPY's text format.
    """

    id: UUID
    name: str
    status: str
    created_at: datetime
    tables: Mapping[str, Sequence[list[str]]]


def make_campaign(id: UUID, seed: int, index: int, now: datetime, scale: float) -> MadeCampaign:
    """The `index`-th campaign of a seed; the same arguments make the same rows."""
    plan = plan_campaign(id, seed, index, now, scale)
    queue = make_queue(plan)
    created_at = now + timedelta(microseconds=plan.created - plan.now)
    name = f"{_THEMES[index % len(_THEMES)]} {seed}-{index + 1}"
    owner = UUID(bytes=hashlib.sha256(f"headrace demo user {index % 3}".encode()).digest()[:16], version=4)
    completed = NULL
    if plan.status == "completed":
        last = int(queue.at[queue.accepted].max())
        completed = stamps(np.array([min(last + 5 * MINUTE, plan.now - SECOND)]))[0]

    rows = plan.queue_rows
    contact_order = plan.rng.permutation(rows)
    names = np.array([template.name for template in plan.templates], dtype=object)[queue.template]
    tables: dict[str, Sequence[list[str]]] = {
        "campaigns": [
            [str(plan.id)],
            [name],
            [plan.status],
            [str(owner)],
            stamps(np.array([plan.created])),
            [completed],
        ],
        "campaign_contacts": [
            uuids(plan.rng, rows),
            [str(plan.id)] * rows,
            queue.phone[contact_order].tolist(),
            names[contact_order].tolist(),
        ],
        "send_queue": [
            uuids(plan.rng, rows),
            [str(plan.id)] * rows,
            queue.phone.tolist(),
            queue.number.tolist(),
            names.tolist(),
            queue.status.tolist(),
            np.where(queue.stored_id, queue.wamid, NULL).tolist(),
            np.where(queue.stored_at, np.array(stamps(queue.at), dtype=object), NULL).tolist(),
            stamps(queue.created),
        ],
    }
    first_delivery, logs = make_logs(plan, queue)
    tables["messages"] = make_messages(plan, queue, first_delivery)
    tables["message_status_logs"] = logs
    return MadeCampaign(id, name, plan.status, created_at, tables)
