"""What an example campaign sends: its plan, and its queue of messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np

from orchestration.demo.campaign_stats.values import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Bools,
    Ints,
    Texts,
    phones,
    some,
    wamids,
)

# Rows of one campaign at scale 1; a campaign has as many contacts as messages to send.
SEND_QUEUE = 50_857
STATUS_LOGS = 121_679
MESSAGES = 49_694
NUMBERS = ("100000000000001", "100000000000002")


class Template(NamedTuple):
    """A template's funnel: share of accepted messages that are delivered, of those that are read, of those that are answered."""

    name: str
    delivered: float
    read: float
    replied: float


_TEMPLATES = (
    Template("spring_offer_v2", 0.93, 0.55, 0.05),
    Template("cart_reminder", 0.95, 0.68, 0.08),
    Template("appointment_reminder", 0.97, 0.78, 0.14),
    Template("order_update", 0.97, 0.80, 0.04),
    Template("event_invitation", 0.92, 0.58, 0.10),
    Template("loyalty_bonus", 0.94, 0.62, 0.06),
    Template("survey_short", 0.90, 0.50, 0.12),
    Template("welcome_back", 0.88, 0.48, 0.03),
)


@dataclass(frozen=True)
class Plan:
    """What is decided about a campaign before its rows are made."""

    rng: np.random.Generator
    id: UUID
    status: str
    created: int
    now: int
    queue_rows: int
    log_rows: int
    message_rows: int
    templates: tuple[Template, ...]


@dataclass(frozen=True)
class Queue:
    """The campaign's messages, one array element each, in sending order.

    `at` is when the provider accepted the message, `wamid` the id it gave; both are meaningful only where `accepted`. What
    the application stored of them is in `stored_id` and `stored_at`.
    """

    phone: Texts
    number: Texts
    template: Ints
    status: Texts
    accepted: Bools
    at: Ints
    wamid: Texts
    stored_id: Bools
    stored_at: Bools
    created: Ints


def plan_campaign(id: UUID, seed: int, index: int, now: datetime, scale: float) -> Plan:
    """The plan of the `index`-th campaign of a seed."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    now_us = int(now.timestamp() * SECOND)
    # The first three: old enough for replies after the window, just running, in between. The others are spread evenly,
    # however many campaigns there are.
    days = (9.4, 1.3, 5.2)[index] if index < 3 else 1.2 + 8.3 * ((index * 0.618034) % 1.0)
    if index < 3:
        status = ("completed", "running", "paused")[index]
    elif days > 4:
        status = ("completed", "completed", "completed", "paused")[rng.integers(4)]
    else:
        status = ("running", "running", "completed", "paused")[rng.integers(4)]
    chosen = rng.choice(len(_TEMPLATES), size=int(rng.integers(3, 7)), replace=False)
    templates = tuple(
        Template(
            template.name,
            min(template.delivered * rng.uniform(0.98, 1.02), 0.98),
            template.read * rng.uniform(0.95, 1.05),
            template.replied * rng.uniform(0.7, 1.3),
        )
        for template in (_TEMPLATES[number] for number in chosen)
    )
    return Plan(
        rng=rng,
        id=id,
        status=status,
        created=now_us - int(days * DAY),
        now=now_us,
        queue_rows=round(SEND_QUEUE * scale),
        log_rows=round(STATUS_LOGS * scale),
        message_rows=round(MESSAGES * scale),
        templates=templates,
    )


def make_queue(plan: Plan) -> Queue:
    """The messages that the plan sends, `plan.queue_rows` in number."""
    rng, rows = plan.rng, plan.queue_rows

    # Campaigns draw from one pool, not much larger than a single campaign: most people hear from several campaigns, from the
    # same number; some get two messages of one campaign.
    person = rng.choice(round(1.6 * rows), size=rows, replace=False)
    twice = some(rng, rows, 0.01)
    person[twice] = rng.permutation(person)[twice]
    line = np.where((person * 2_654_435_761 >> 7) % 10 < 3, 1, 0) ^ some(rng, rows, 0.04)

    failed_share, queued_share = {
        "completed": (0.040, 0.003),
        "running": (0.030, 0.090),
        "paused": (0.030, 0.120),
    }[plan.status]
    status = np.full(rows, "sent", dtype=object)
    status[rows - round(queued_share * rows) :] = "queued"  # not yet reached
    status[(status == "sent") & some(rng, rows, failed_share)] = "failed"
    sent, failed, queued = status == "sent", status == "failed", status == "queued"
    # The provider may have accepted messages that the application calls failed (it gave up waiting) or still queued
    # (it died before it stored the answer).
    accepted = sent | (failed & some(rng, rows, 0.15)) | (queued & some(rng, rows, 0.02))

    start = plan.created + int(rng.uniform(20, 60) * MINUTE)
    length = int(rng.uniform(2, 14) * HOUR)
    at = start + np.sort(rng.integers(0, length, size=rows)) // 1000 * 1000
    return Queue(
        phone=phones(person),
        number=np.array(NUMBERS, dtype=object)[line],
        template=rng.choice(
            len(plan.templates), size=rows, p=rng.dirichlet(np.full(len(plan.templates), 4.0))
        ),
        status=status,
        accepted=accepted,
        at=at,
        wamid=wamids(rng, rows),
        stored_id=accepted & ~(sent & some(rng, rows, 0.004)),
        stored_at=sent & ~some(rng, rows, 0.02),
        created=plan.created + np.sort(rng.integers(0, 3 * MINUTE, size=rows)) // 1000 * 1000,
    )


def before(plan: Plan, rng: np.random.Generator, earliest: Ints, time: Ints) -> Ints:
    """The times; those after `now` are moved to somewhere between `earliest` and `now`."""
    latest = plan.now - SECOND
    moved = earliest + ((latest - earliest) * rng.random(len(time))).astype(np.int64)
    return np.where(time > latest, moved, time)
