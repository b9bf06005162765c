"""What comes back from an example campaign: the provider's webhooks and the conversations."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from orchestration.demo.campaign_stats.sending import NUMBERS, Plan, Queue, before
from orchestration.demo.campaign_stats.values import (
    DAY,
    HOUR,
    MINUTE,
    NULL,
    SECOND,
    Bools,
    Ints,
    exponential,
    lognormal,
    phones,
    some,
    stamps,
    uuids,
    wamids,
)

_REPLY_WINDOW = 7 * DAY

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
class Delivery:
    """The outcome of each accepted message.

    `message` indexes the queue; `seen` is when the message was delivered or read.
    """

    message: Ints
    delivered: Bools
    read: Bools
    seen: Ints


def make_logs(plan: Plan, queue: Queue) -> tuple[Delivery, list[list[str]]]:
    """The provider's webhooks about the accepted messages, exactly `plan.log_rows`, in order of arrival."""
    rng = plan.rng
    message = np.flatnonzero(queue.accepted)
    count = len(message)
    at = queue.at[message]
    template = queue.template[message]
    shares = np.array([(t.delivered, t.read) for t in plan.templates])[template]

    delivered = rng.random(count) < shares[:, 0]
    read = delivered & (rng.random(count) < shares[:, 1])
    played = read & some(rng, count, 0.01)
    failed = ~delivered & some(rng, count, 0.5)
    failed_first = delivered & some(rng, count, 0.008)  # but delivered after all
    says_sent = some(rng, count, 0.985)
    says_delivered = delivered & ~(read & some(rng, count, 0.04))  # the provider skips it if read follows

    sent_at = at + exponential(rng, count, 1.5 * SECOND) + SECOND
    delivered_at = at + lognormal(rng, count, 6 * SECOND, 1.2) + failed_first * 10 * MINUTE
    delivered_at += some(rng, count, 0.03) * exponential(rng, count, 20 * HOUR)  # the phone was off
    read_at = delivered_at + np.minimum(lognormal(rng, count, 25 * MINUTE, 1.6), 5 * DAY)
    failed_at = at + lognormal(rng, count, 15 * SECOND, 0.8)
    swapped = says_delivered & read & some(rng, count, 0.04)
    delivered_at, read_at = np.where(swapped, read_at, delivered_at), np.where(swapped, delivered_at, read_at)
    sent_late = some(rng, count, 0.02) | (failed & some(rng, count, 0.1))
    sent_at = np.where(sent_late, np.where(failed, failed_at, delivered_at) + 20 * SECOND, sent_at)
    delivery = Delivery(
        message, delivered, read, np.where(read, np.maximum(read_at, delivered_at), delivered_at)
    )

    happened = (
        ("sent", says_sent, sent_at),
        ("delivered", says_delivered, delivered_at),
        ("read", read, read_at),
        ("played", played, read_at + exponential(rng, count, MINUTE)),
        ("failed", failed | failed_first, failed_at),
    )
    owner = np.concatenate([message[mask] for _, mask, _ in happened])
    status = np.concatenate([np.full(int(mask.sum()), name, dtype=object) for name, mask, _ in happened])
    time = np.concatenate([stamp[mask] for _, mask, stamp in happened])

    # Reaches the exact number of rows: invented values, strangers' ids, and repeated webhooks for the rest, at least a few.
    # If the funnel leaves no room for them, some "sent" are dropped.
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
    delay = np.where(some(rng, repeated_rows, 0.4), 0, exponential(rng, repeated_rows, 3 * HOUR))
    delay += some(rng, repeated_rows, 0.05) * rng.integers(0, 7 * DAY, size=repeated_rows)
    odd = rng.integers(0, count, size=invented_rows + stray_rows)

    wamid = np.concatenate([queue.wamid[owner], queue.wamid[owner[again]], queue.wamid[message[odd]]])
    wamid[len(wamid) - stray_rows :] = wamids(rng, stray_rows)
    odd_status = np.full(len(odd), "delivered", dtype=object)
    odd_status[:invented_rows] = np.where(some(rng, invented_rows, 0.5), "deleted", "warning")
    earliest = np.concatenate([queue.at[owner], queue.at[owner[again]], at[odd]])
    status = np.concatenate([status, status[again], odd_status])
    time = np.concatenate([time, time[again] + delay, at[odd] + exponential(rng, len(odd), HOUR)])
    # The provider's time stamps are whole seconds, so ties are normal.
    time = before(plan, rng, earliest, time) // SECOND * SECOND

    rows = plan.log_rows
    unnamed = some(rng, rows, 0.06)
    unnamed[rows - stray_rows :] |= some(rng, stray_rows, 0.5)
    error = np.array(_ERRORS, dtype=object)[rng.integers(0, len(_ERRORS), size=rows)]
    # By time, except for some that were stored long before or after it.
    arrival = time + some(rng, rows, 0.05) * rng.normal(0, 10 * MINUTE, size=rows).astype(np.int64)
    order = np.argsort(arrival, kind="stable")
    return delivery, [
        wamid[order].tolist(),
        np.where(unnamed, NULL, str(plan.id))[order].tolist(),
        status[order].tolist(),
        stamps(time[order]),
        np.where(status == "failed", error, NULL)[order].tolist(),
    ]


def make_messages(plan: Plan, queue: Queue, delivery: Delivery) -> list[list[str]]:
    """The conversations, exactly `plan.message_rows`: messages sent, answers, and older messages."""
    rng, rows = plan.rng, plan.message_rows
    message = delivery.message
    replied = np.array([template.replied for template in plan.templates])[queue.template[message]]
    likely = np.where(delivery.read, replied, delivery.delivered * 0.1 * replied)  # some hide read receipts
    answers = np.flatnonzero(rng.random(len(message)) < likely)
    answered = message[answers]
    seen = np.minimum(delivery.seen[answers], plan.now - MINUTE)
    reply_at = seen + lognormal(rng, len(answers), 40 * MINUTE, 1.5)
    too_late = queue.at[answered] + _REPLY_WINDOW + exponential(rng, len(answers), 12 * HOUR)
    reply_at = np.where(some(rng, len(answers), 0.03) & (too_late < plan.now), too_late, reply_at)
    reply_at = before(plan, rng, queue.at[answered], reply_at)
    # Some answers quote a message; some of those quote an id that belongs to no message.
    quotes = np.where(some(rng, len(answers), 0.08), queue.wamid[answered], NULL)
    stray = (quotes != NULL) & some(rng, len(answers), 0.05)
    quotes[stray] = wamids(rng, int(stray.sum()))

    more = np.flatnonzero(some(rng, len(answers), 0.25))
    more_at = before(
        plan, rng, reply_at[more], reply_at[more] + rng.integers(5, 600, size=len(more)) * SECOND
    )

    early = rng.integers(0, plan.queue_rows, size=max(round(0.003 * plan.queue_rows), 2))
    early_at = plan.created - rng.integers(HOUR, 5 * DAY, size=len(early))
    strangers = max(round(0.001 * plan.queue_rows), 1)
    stranger_at = plan.created + rng.integers(0, plan.now - plan.created, size=strangers)

    incoming = len(answers) + len(more) + len(early) + strangers
    logged = np.sort(rng.permutation(message)[: rows - incoming])  # most of what was sent
    # The rest is written by hand, to people who answered.
    by_hand = rng.integers(0, max(len(answers), 1), size=rows - incoming - len(logged))
    partner = answered if len(answered) else message
    hand_base = reply_at if len(answered) else queue.at[message]
    hand_at = before(
        plan, rng, hand_base[by_hand], hand_base[by_hand] + exponential(rng, len(by_hand), 10 * MINUTE)
    )

    conversation = np.concatenate([answered, answered[more], early, partner[by_hand], logged])
    phone = np.concatenate(
        [queue.phone[conversation], phones(900_000_000 + rng.integers(0, 90_000_000, size=strangers))]
    )
    number = np.concatenate([queue.number[conversation], np.full(strangers, NUMBERS[0], dtype=object)])
    received = len(answers) + len(more) + len(early)
    outgoing = np.zeros(rows, dtype=bool)
    outgoing[received : len(conversation)] = True
    time = np.concatenate([reply_at, more_at, early_at, hand_at, queue.at[logged], stranger_at])
    quoted = np.full(rows, NULL, dtype=object)
    quoted[: len(answers)] = quotes
    wamid = wamids(rng, rows)
    wamid[some(rng, rows, 0.02) & ~outgoing] = NULL
    wamid[len(conversation) - len(logged) : len(conversation)] = queue.wamid[logged]

    order = np.argsort(time, kind="stable")
    return [
        uuids(rng, rows),
        wamid[order].tolist(),
        phone[order].tolist(),
        number[order].tolist(),
        np.where(outgoing, "outgoing", "incoming")[order].tolist(),
        stamps(time[order]),
        quoted[order].tolist(),
    ]
