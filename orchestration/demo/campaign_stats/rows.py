"""The example application's rows: campaigns made up the same way every time, whoever asks.

What comes of a seed is untidy on purpose, in the ways providers and applications are: statuses late, twice,
out of order or left out, a delivery after a failure, invented status values, ids that match nothing, replies
in conversations that several campaigns share. Everything lies before `now`.

Here: what the rows are, as COPY's text. Not here: writing them (`load.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

# Rows of one campaign at scale 1; a campaign has as many contacts as messages to send.
SEND_QUEUE = 50_857
STATUS_LOGS = 121_679
MESSAGES = 49_694

_SECOND = 1_000_000  # times are microseconds since 1970, UTC
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
_REPLY_WINDOW = 7 * _DAY
_NUMBERS = ("100000000000001", "100000000000002")
_NULL = "\\N"


class _Template(NamedTuple):
    """A template's funnel: share delivered of accepted, read of delivered, replied of delivered and read."""

    name: str
    delivered: float
    read: float
    replied: float


_TEMPLATES = (
    _Template("spring_offer_v2", 0.93, 0.55, 0.05),
    _Template("cart_reminder", 0.95, 0.68, 0.08),
    _Template("appointment_reminder", 0.97, 0.78, 0.14),
    _Template("order_update", 0.97, 0.80, 0.04),
    _Template("event_invitation", 0.92, 0.58, 0.10),
    _Template("loyalty_bonus", 0.94, 0.62, 0.06),
    _Template("survey_short", 0.90, 0.50, 0.12),
    _Template("welcome_back", 0.88, 0.48, 0.03),
)
_THEMES = (
    "Spring offers",
    "Cart reminders",
    "Appointments",
    "Order updates",
    "Event invitations",
    "Loyalty bonus",
)

_ERRORS = tuple(
    json.dumps([{"code": code, "title": title}])
    for code, title in (
        (131026, "Message undeliverable"),
        (131049, "Not delivered to maintain healthy ecosystem engagement"),
        (131047, "Re-engagement message"),
        (130472, "User's number is part of an experiment"),
    )
)


@dataclass(frozen=True)
class MadeCampaign:
    """One campaign and all its rows.

    Attributes:
        tables: per table, in the order to load them, its columns in the order of `load.COLUMNS`: lists of
            equal length, each value as COPY's text.
    """

    id: UUID
    name: str
    status: str
    created_at: datetime
    tables: Mapping[str, Sequence[list[str]]]


@dataclass(frozen=True)
class _Plan:
    """What is decided of a campaign before its rows are."""

    rng: np.random.Generator
    id: UUID
    status: str
    created: int
    now: int
    queue_rows: int
    log_rows: int
    message_rows: int
    templates: tuple[_Template, ...]


@dataclass(frozen=True)
class _Queue:
    """The campaign's messages, one array element each, in the order they are to be sent.

    `at` is when the provider accepted the message, `wamid` the id it gave; both mean something only where
    `accepted`. What the application stored of that is `stored_id` and `stored_at`.
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


def make_campaign(id: UUID, seed: int, index: int, now: datetime, scale: float) -> MadeCampaign:
    """The `index`-th campaign of a seed; the same arguments make the same rows."""
    plan = _plan(id, seed, index, now, scale)
    queue = _make_queue(plan)
    created_at = now + timedelta(microseconds=plan.created - plan.now)
    name = f"{_THEMES[index % len(_THEMES)]} {seed}-{index + 1}"
    owner = UUID(bytes=hashlib.sha256(f"headrace demo user {index % 3}".encode()).digest()[:16], version=4)
    completed = _NULL
    if plan.status == "completed":
        last = int(queue.at[queue.accepted].max())
        completed = _stamps(np.array([min(last + 5 * _MINUTE, plan.now - _SECOND)]))[0]

    rows = plan.queue_rows
    contact_order = plan.rng.permutation(rows)
    names = np.array([template.name for template in plan.templates], dtype=object)[queue.template]
    tables: dict[str, Sequence[list[str]]] = {
        "campaigns": [
            [str(plan.id)],
            [name],
            [plan.status],
            [str(owner)],
            _stamps(np.array([plan.created])),
            [completed],
        ],
        "campaign_contacts": [
            _uuids(plan.rng, rows),
            [str(plan.id)] * rows,
            queue.phone[contact_order].tolist(),
            names[contact_order].tolist(),
        ],
        "send_queue": [
            _uuids(plan.rng, rows),
            [str(plan.id)] * rows,
            queue.phone.tolist(),
            queue.number.tolist(),
            names.tolist(),
            queue.status.tolist(),
            np.where(queue.stored_id, queue.wamid, _NULL).tolist(),
            np.where(queue.stored_at, np.array(_stamps(queue.at), dtype=object), _NULL).tolist(),
            _stamps(queue.created),
        ],
    }
    first_delivery, logs = _make_logs(plan, queue)
    tables["messages"] = _make_messages(plan, queue, first_delivery)
    tables["message_status_logs"] = logs
    return MadeCampaign(id, name, plan.status, created_at, tables)


def _plan(id: UUID, seed: int, index: int, now: datetime, scale: float) -> _Plan:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    now_us = int(now.timestamp() * _SECOND)
    # Old enough for replies after the window, just running, in between; from then on spread evenly, whatever
    # the number of campaigns.
    days = (9.4, 1.3, 5.2)[index] if index < 3 else 1.2 + 8.3 * ((index * 0.618034) % 1.0)
    if index < 3:
        status = ("completed", "running", "paused")[index]
    elif days > 4:
        status = ("completed", "completed", "completed", "paused")[rng.integers(4)]
    else:
        status = ("running", "running", "completed", "paused")[rng.integers(4)]
    chosen = rng.choice(len(_TEMPLATES), size=int(rng.integers(3, 7)), replace=False)
    templates = tuple(
        _Template(
            template.name,
            min(template.delivered * rng.uniform(0.98, 1.02), 0.98),
            template.read * rng.uniform(0.95, 1.05),
            template.replied * rng.uniform(0.7, 1.3),
        )
        for template in (_TEMPLATES[number] for number in chosen)
    )
    return _Plan(
        rng=rng,
        id=id,
        status=status,
        created=now_us - int(days * _DAY),
        now=now_us,
        queue_rows=round(SEND_QUEUE * scale),
        log_rows=round(STATUS_LOGS * scale),
        message_rows=round(MESSAGES * scale),
        templates=templates,
    )


def _make_queue(plan: _Plan) -> _Queue:
    rng, rows = plan.rng, plan.queue_rows

    # Campaigns draw from one pool, not much larger than one of them: most people hear from several, from the
    # same number; some get two messages of one campaign.
    person = rng.choice(round(1.6 * rows), size=rows, replace=False)
    twice = _some(rng, rows, 0.01)
    person[twice] = rng.permutation(person)[twice]
    line = np.where((person * 2_654_435_761 >> 7) % 10 < 3, 1, 0) ^ _some(rng, rows, 0.04)

    failed_share, queued_share = {
        "completed": (0.040, 0.003),
        "running": (0.030, 0.090),
        "paused": (0.030, 0.120),
    }[plan.status]
    status = np.full(rows, "sent", dtype=object)
    status[rows - round(queued_share * rows) :] = "queued"  # not yet reached
    status[(status == "sent") & _some(rng, rows, failed_share)] = "failed"
    sent, failed, queued = status == "sent", status == "failed", status == "queued"
    # The provider may have accepted what the application calls failed (it gave up waiting) or still queued
    # (it died before it wrote the answer down).
    accepted = sent | (failed & _some(rng, rows, 0.15)) | (queued & _some(rng, rows, 0.02))

    start = plan.created + int(rng.uniform(20, 60) * _MINUTE)
    length = int(rng.uniform(2, 14) * _HOUR)
    at = start + np.sort(rng.integers(0, length, size=rows)) // 1000 * 1000
    return _Queue(
        phone=_phones(person),
        number=np.array(_NUMBERS, dtype=object)[line],
        template=rng.choice(
            len(plan.templates), size=rows, p=rng.dirichlet(np.full(len(plan.templates), 4.0))
        ),
        status=status,
        accepted=accepted,
        at=at,
        wamid=_wamids(rng, rows),
        stored_id=accepted & ~(sent & _some(rng, rows, 0.004)),
        stored_at=sent & ~_some(rng, rows, 0.02),
        created=plan.created + np.sort(rng.integers(0, 3 * _MINUTE, size=rows)) // 1000 * 1000,
    )


@dataclass(frozen=True)
class _Delivery:
    """What became of each accepted message.

    `message` indexes the queue; `seen` is when the message was delivered or read.
    """

    message: Ints
    delivered: Bools
    read: Bools
    seen: Ints


def _make_logs(plan: _Plan, queue: _Queue) -> tuple[_Delivery, list[list[str]]]:
    """The provider's webhooks about the accepted messages, exactly `plan.log_rows`, as they arrived."""
    rng = plan.rng
    message = np.flatnonzero(queue.accepted)
    count = len(message)
    at = queue.at[message]
    template = queue.template[message]
    shares = np.array([(t.delivered, t.read) for t in plan.templates])[template]

    delivered = rng.random(count) < shares[:, 0]
    read = delivered & (rng.random(count) < shares[:, 1])
    played = read & _some(rng, count, 0.01)
    failed = ~delivered & _some(rng, count, 0.5)
    failed_first = delivered & _some(rng, count, 0.008)  # and delivered after all
    says_sent = _some(rng, count, 0.985)
    says_delivered = delivered & ~(read & _some(rng, count, 0.04))  # the provider skips it where read follows

    sent_at = at + _exponential(rng, count, 1.5 * _SECOND) + _SECOND
    delivered_at = at + _lognormal(rng, count, 6 * _SECOND, 1.2) + failed_first * 10 * _MINUTE
    delivered_at += _some(rng, count, 0.03) * _exponential(rng, count, 20 * _HOUR)  # the phone was off
    read_at = delivered_at + np.minimum(_lognormal(rng, count, 25 * _MINUTE, 1.6), 5 * _DAY)
    failed_at = at + _lognormal(rng, count, 15 * _SECOND, 0.8)
    swapped = says_delivered & read & _some(rng, count, 0.04)
    delivered_at, read_at = np.where(swapped, read_at, delivered_at), np.where(swapped, delivered_at, read_at)
    sent_late = _some(rng, count, 0.02) | (failed & _some(rng, count, 0.1))
    sent_at = np.where(sent_late, np.where(failed, failed_at, delivered_at) + 20 * _SECOND, sent_at)
    delivery = _Delivery(
        message, delivered, read, np.where(read, np.maximum(read_at, delivered_at), delivered_at)
    )

    happened = (
        ("sent", says_sent, sent_at),
        ("delivered", says_delivered, delivered_at),
        ("read", read, read_at),
        ("played", played, read_at + _exponential(rng, count, _MINUTE)),
        ("failed", failed | failed_first, failed_at),
    )
    owner = np.concatenate([message[mask] for _, mask, _ in happened])
    status = np.concatenate([np.full(int(mask.sum()), name, dtype=object) for name, mask, _ in happened])
    time = np.concatenate([stamp[mask] for _, mask, stamp in happened])

    # To the exact number of rows: invented values, strangers' ids, and repeated webhooks for the rest, which
    # is never less than a few; where the funnel leaves no room, as many "sent" got lost.
    invented_rows = max(round(0.004 * plan.log_rows), 2)
    stray_rows = max(round(0.006 * plan.log_rows), 2)
    room = plan.log_rows - invented_rows - stray_rows - round(0.03 * plan.log_rows)
    if len(owner) > room:
        lost = rng.permutation(np.flatnonzero(status == "sent"))[: len(owner) - room]
        keep = np.ones(len(owner), dtype=bool)
        keep[lost] = False
        owner, status, time = owner[keep], status[keep], time[keep]
    repeated_rows = plan.log_rows - invented_rows - stray_rows - len(owner)
    again = rng.integers(0, len(owner), size=repeated_rows)
    delay = np.where(_some(rng, repeated_rows, 0.4), 0, _exponential(rng, repeated_rows, 3 * _HOUR))
    delay += _some(rng, repeated_rows, 0.05) * rng.integers(0, 7 * _DAY, size=repeated_rows)
    odd = rng.integers(0, count, size=invented_rows + stray_rows)

    wamid = np.concatenate([queue.wamid[owner], queue.wamid[owner[again]], queue.wamid[message[odd]]])
    wamid[len(wamid) - stray_rows :] = _wamids(rng, stray_rows)
    odd_status = np.full(len(odd), "delivered", dtype=object)
    odd_status[:invented_rows] = np.where(_some(rng, invented_rows, 0.5), "deleted", "warning")
    earliest = np.concatenate([queue.at[owner], queue.at[owner[again]], at[odd]])
    status = np.concatenate([status, status[again], odd_status])
    time = np.concatenate([time, time[again] + delay, at[odd] + _exponential(rng, len(odd), _HOUR)])
    # The provider's stamps are whole seconds, so ties are normal.
    time = _before(plan, rng, earliest, time) // _SECOND * _SECOND

    rows = plan.log_rows
    unnamed = _some(rng, rows, 0.06)
    unnamed[rows - stray_rows :] |= _some(rng, stray_rows, 0.5)
    error = np.array(_ERRORS, dtype=object)[rng.integers(0, len(_ERRORS), size=rows)]
    # By time, but for some that were stored long before or after their time.
    arrival = time + _some(rng, rows, 0.05) * rng.normal(0, 10 * _MINUTE, size=rows).astype(np.int64)
    order = np.argsort(arrival, kind="stable")
    return delivery, [
        wamid[order].tolist(),
        np.where(unnamed, _NULL, str(plan.id))[order].tolist(),
        status[order].tolist(),
        _stamps(time[order]),
        np.where(status == "failed", error, _NULL)[order].tolist(),
    ]


def _make_messages(plan: _Plan, queue: _Queue, delivery: _Delivery) -> list[list[str]]:
    """The conversations, exactly `plan.message_rows`: sent, answered, and what was there before."""
    rng, rows = plan.rng, plan.message_rows
    message = delivery.message
    replied = np.array([template.replied for template in plan.templates])[queue.template[message]]
    likely = np.where(delivery.read, replied, delivery.delivered * 0.1 * replied)  # some hide that they read
    answers = np.flatnonzero(rng.random(len(message)) < likely)
    answered = message[answers]
    seen = np.minimum(delivery.seen[answers], plan.now - _MINUTE)
    reply_at = seen + _lognormal(rng, len(answers), 40 * _MINUTE, 1.5)
    too_late = queue.at[answered] + _REPLY_WINDOW + _exponential(rng, len(answers), 12 * _HOUR)
    reply_at = np.where(_some(rng, len(answers), 0.03) & (too_late < plan.now), too_late, reply_at)
    reply_at = _before(plan, rng, queue.at[answered], reply_at)
    # Some answer by quoting; some of those quote what is nobody's.
    quotes = np.where(_some(rng, len(answers), 0.08), queue.wamid[answered], _NULL)
    stray = (quotes != _NULL) & _some(rng, len(answers), 0.05)
    quotes[stray] = _wamids(rng, int(stray.sum()))

    more = np.flatnonzero(_some(rng, len(answers), 0.25))
    more_at = _before(
        plan, rng, reply_at[more], reply_at[more] + rng.integers(5, 600, size=len(more)) * _SECOND
    )

    early = rng.integers(0, plan.queue_rows, size=max(round(0.003 * plan.queue_rows), 2))
    early_at = plan.created - rng.integers(_HOUR, 5 * _DAY, size=len(early))
    strangers = max(round(0.001 * plan.queue_rows), 1)
    stranger_at = plan.created + rng.integers(0, plan.now - plan.created, size=strangers)

    incoming = len(answers) + len(more) + len(early) + strangers
    logged = np.sort(rng.permutation(message)[: rows - incoming])  # most of what was sent
    # The rest is written by hand, to those who answered.
    by_hand = rng.integers(0, max(len(answers), 1), size=rows - incoming - len(logged))
    partner = answered if len(answered) else message
    hand_base = reply_at if len(answered) else queue.at[message]
    hand_at = _before(
        plan, rng, hand_base[by_hand], hand_base[by_hand] + _exponential(rng, len(by_hand), 10 * _MINUTE)
    )

    conversation = np.concatenate([answered, answered[more], early, partner[by_hand], logged])
    phone = np.concatenate(
        [queue.phone[conversation], _phones(900_000_000 + rng.integers(0, 90_000_000, size=strangers))]
    )
    number = np.concatenate([queue.number[conversation], np.full(strangers, _NUMBERS[0], dtype=object)])
    received = len(answers) + len(more) + len(early)
    outgoing = np.zeros(rows, dtype=bool)
    outgoing[received : len(conversation)] = True
    time = np.concatenate([reply_at, more_at, early_at, hand_at, queue.at[logged], stranger_at])
    quoted = np.full(rows, _NULL, dtype=object)
    quoted[: len(answers)] = quotes
    wamid = _wamids(rng, rows)
    wamid[_some(rng, rows, 0.02) & ~outgoing] = _NULL
    wamid[len(conversation) - len(logged) : len(conversation)] = queue.wamid[logged]

    order = np.argsort(time, kind="stable")
    return [
        _uuids(rng, rows),
        wamid[order].tolist(),
        phone[order].tolist(),
        number[order].tolist(),
        np.where(outgoing, "outgoing", "incoming")[order].tolist(),
        _stamps(time[order]),
        quoted[order].tolist(),
    ]


# --- values -------------------------------------------------------------------------------------------------


def _some(rng: np.random.Generator, count: int, share: float) -> Bools:
    """A mask true for about that share of `count`."""
    return rng.random(count) < share


def _exponential(rng: np.random.Generator, count: int, mean: float) -> Ints:
    return rng.exponential(mean, size=count).astype(np.int64)


def _lognormal(rng: np.random.Generator, count: int, median: float, sigma: float) -> Ints:
    return rng.lognormal(np.log(median), sigma, size=count).astype(np.int64)


def _before(plan: _Plan, rng: np.random.Generator, earliest: Ints, time: Ints) -> Ints:
    """The times, those that would lie after `now` moved to somewhere between `earliest` and `now`."""
    latest = plan.now - _SECOND
    moved = earliest + ((latest - earliest) * rng.random(len(time))).astype(np.int64)
    return np.where(time > latest, moved, time)


def _phones(person: Ints) -> Texts:
    """Numbers under +999, a country code nobody has."""
    return np.array([f"+999{number:09d}" for number in person.tolist()], dtype=object)


def _wamids(rng: np.random.Generator, count: int) -> Texts:
    text = rng.bytes(16 * count).hex().upper()
    return np.array([f"wamid.{text[at : at + 32]}" for at in range(0, 32 * count, 32)], dtype=object)


def _uuids(rng: np.random.Generator, count: int) -> list[str]:
    """Random ids of version 4."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    return [text[at : at + 32] for at in range(0, 32 * count, 32)]


def _stamps(time: Ints) -> list[str]:
    """Microseconds since 1970 as ISO 8601 in UTC."""
    return [f"{stamp}Z" for stamp in np.datetime_as_string(time.astype("datetime64[us]"), unit="ms").tolist()]
