"""Whatever happens to campaigns, in any order: what is served is right, and frozen numbers change only on record."""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.campaign_stats.oracle import (
    COUNTERS,
    count,
    drain,
    live,
    medians,
    outcomes,
    series,
    stored,
    stored_series,
)

START = datetime(2026, 3, 27, 12, tzinfo=UTC)
CAMPAIGNS = [uuid.UUID(int=n) for n in range(1, 4)]
ROWS = [uuid.UUID(int=n) for n in range(101, 107)]
WINDOW = timedelta(days=7)

campaign = st.sampled_from(CAMPAIGNS)
row = st.sampled_from(ROWS)
phone = st.sampled_from(["5511", "5511", "5522", None, ""])
template = st.sampled_from(["t", "t", "other", None])
wamid = st.sampled_from(["w1", "w2", "w3", "w4", None, ""])
moment = st.sampled_from(
    [START + timedelta(minutes=m) for m in (0, 1, 2, 3)]
    + [START + timedelta(minutes=70, seconds=7.5), START + timedelta(days=7)]
)
# Drained at once, anything that a change fails to touch stays wrong; drained late, changes mix.
then = st.sampled_from(["drain", "drain", "nothing"])
provider_status = st.sampled_from(["sent", "delivered", "read", "failed", "warning"])

Connection = psycopg.Connection[Any]


class CampaignLife(RuleBasedStateMachine):
    """The rules are what applications, time, workers and operators do. After each drain everything is compared."""

    connection: Connection

    @initialize(frozen=st.sets(campaign, min_size=1), completed=st.booleans())
    def begin(self, frozen: set[Any], completed: bool) -> None:
        self.connection.execute(
            "TRUNCATE campaigns, send_queue, message_status_logs, messages, headrace.change_log, headrace.campaign,"
            " headrace.message_outcome, headrace.campaign_template_stats, headrace.campaign_computed_stats,"
            " headrace.campaign_hour, headrace.campaign_frozen_hours, headrace.campaign_latency, headrace.campaign_completion,"
            " headrace.campaign_stats_amendment, headrace.campaign_stats_pending_amendment CASCADE"
        )
        self.connection.execute("SELECT headrace.rebase_stream('campaign_stats')")
        self.versions: dict[Any, int] = defaultdict(int)
        self.frozen: dict[
            Any, tuple[int, Any, Any, Any]
        ] = {}  # version, templates, totals, series of frozen documents
        self.operated: set[Any] = set()
        self.rows: dict[
            Any, tuple[int, int]
        ] = {}  # of frozen campaigns: queue rows and statuses that were counted
        for number, identity in enumerate(CAMPAIGNS):
            self.connection.execute(
                "INSERT INTO campaigns (id, name, status, created_at) VALUES (%s, 'c', 'running', %s)",
                [identity, START],
            )
            for place in range(2):
                self.queue(
                    ROWS[2 * number + place],
                    identity,
                    "5511",
                    f"w{number + 1}",
                    "t",
                    "sent",
                    START,
                    "nothing",
                )
        self.then("drain")
        if completed:
            for identity in frozen:
                self.change_status(identity, "completed", "drain")
            self.time_passes(8, "drain")
        else:
            self.connection.execute("SELECT headrace.freeze_campaigns(%s)", [list(frozen)])
            self.then("drain")

    # --- the application

    @rule(
        identity=row,
        owner=campaign,
        who=phone,
        message=wamid,
        named=template,
        status=st.sampled_from(["queued", "sent", "failed", None]),
        at=moment,
        then=then,
    )
    def queue(
        self,
        identity: Any,
        owner: Any,
        who: str | None,
        message: str | None,
        named: str | None,
        status: str | None,
        at: datetime,
        then: str,
    ) -> None:
        self.connection.execute(
            "INSERT INTO send_queue (id, campaign_id, user_phone, whatsapp_number_id, template_name, status,"
            " whatsapp_message_id, sent_at) SELECT %s, id, %s, 'n', %s, %s, %s, %s FROM campaigns WHERE id = %s"
            " ON CONFLICT (id) DO UPDATE SET campaign_id = excluded.campaign_id, user_phone = excluded.user_phone,"
            " template_name = excluded.template_name, status = excluded.status,"
            " whatsapp_message_id = excluded.whatsapp_message_id, sent_at = excluded.sent_at",
            [identity, who, named, status, message, at, owner],
        )
        self.then(then)

    @rule(message=wamid, status=provider_status, at=moment, then=then)
    def webhook(self, message: str | None, status: str, at: datetime, then: str) -> None:
        self.connection.execute(
            "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at) VALUES (%s, %s, %s)",
            [message, status, at],
        )
        self.then(then)

    @rule(who=phone, at=moment, reference=st.one_of(st.none(), st.none(), wamid), then=then)
    def reply(self, who: str | None, at: datetime, reference: str | None, then: str) -> None:
        self.connection.execute(
            "INSERT INTO messages (user_phone, whatsapp_number_id, direction, created_at, context_message_id)"
            " VALUES (%s, 'n', 'incoming', %s, %s)",
            [who, at + timedelta(seconds=30), reference],
        )
        self.then(then)

    @rule(place=st.integers(0, 5), message=wamid, status=provider_status, at=moment, then=then)
    def correct_a_webhook(
        self, place: int, message: str | None, status: str, at: datetime, then: str
    ) -> None:
        self.connection.execute(
            "UPDATE message_status_logs SET whatsapp_message_id = %s, status = %s, created_at = %s"
            " WHERE id IN (SELECT id FROM message_status_logs ORDER BY id OFFSET %s LIMIT 1)",
            [message, status, at, place],
        )
        self.then(then)

    @rule(
        table=st.sampled_from(["send_queue", "message_status_logs", "messages"]),
        place=st.integers(0, 5),
        then=then,
    )
    def prune(self, table: str, place: int, then: str) -> None:
        self.connection.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id OFFSET %s LIMIT 1)", [place]
        )
        self.then(then)

    @rule(
        table=st.sampled_from(["campaigns", "send_queue", "message_status_logs", "messages"]),
        unlikely=st.integers(0, 3),
        then=then,
    )
    def truncate(self, table: str, unlikely: int, then: str) -> None:
        if unlikely == 0:
            self.connection.execute(f"TRUNCATE {table} CASCADE")
            self.then(then)

    @rule(
        identity=campaign,
        status=st.sampled_from(["completed", "completed", "running", "paused", "failed", "scheduled", None]),
        then=then,
    )
    def change_status(self, identity: Any, status: str | None, then: str) -> None:
        self.rows.pop(identity, None)
        self.connection.execute("UPDATE campaigns SET status = %s WHERE id = %s", [status, identity])
        self.then(then)

    @rule(identity=campaign, then=then)
    def delete_campaign(self, identity: Any, then: str) -> None:
        self.connection.execute("DELETE FROM campaigns WHERE id = %s", [identity])
        self.then(then)

    @rule(identity=campaign, status=st.sampled_from(["running", "completed"]), then=then)
    def make_campaign_again(self, identity: Any, status: str, then: str) -> None:
        self.connection.execute(
            "INSERT INTO campaigns (id, name, status, created_at) VALUES (%s, 'c', %s, %s) ON CONFLICT (id) DO NOTHING",
            [identity, status, START],
        )
        self.then(then)

    # --- time, workers, operators

    @rule(days=st.sampled_from([1, 8]), then=then)
    def time_passes(self, days: int, then: str) -> None:
        self.connection.execute(
            "UPDATE headrace.campaign SET completed_at = completed_at - make_interval(days => %(days)s),"
            " reopened_at = reopened_at - make_interval(days => %(days)s),"
            " settles_until = settles_until - make_interval(days => %(days)s)",
            {"days": days},
        )
        self.then(then)

    @rule(limit=st.sampled_from([1, 3]), then=then)
    def one_step(self, limit: int, then: str) -> None:
        for stream, shard, kind in self.connection.execute(
            "SELECT stream, shard, work FROM headrace.stream_poll()"
        ).fetchall():
            if kind == "rebuild":
                self.connection.execute("SELECT headrace.stream_rebuild(%s)", [stream])
            else:
                self.connection.execute("SELECT headrace.stream_step(%s, %s, %s)", [stream, shard, limit])
        self.then(then)

    @rule(identity=campaign, then=then)
    def rebuild(self, identity: Any, then: str) -> None:
        self.connection.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [identity])
        self.then(then)

    @rule(again=st.sampled_from(["request_rebuild()", "rebase_stream('campaign_stats')"]), then=then)
    def everything_again(self, again: str, then: str) -> None:
        self.connection.execute(f"SELECT headrace.{again}")
        self.then(then)

    @rule(identity=campaign, then=then)
    def freeze(self, identity: Any, then: str) -> None:
        self.operate("SELECT headrace.freeze_campaigns(ARRAY[%s])", identity)
        self.then(then)

    @rule(identity=campaign, accept=st.booleans(), then=then)
    def reopen(self, identity: Any, accept: bool, then: str) -> None:
        self.operate("SELECT headrace.reopen_campaigns(ARRAY[%s], %s)", identity, accept)
        self.then(then)

    @rule(identity=campaign, accept=st.booleans(), then=then)
    def decide_amendment(self, identity: Any, accept: bool, then: str) -> None:
        waits = self.connection.execute(
            "SELECT FROM headrace.campaign_stats_pending_amendment WHERE campaign_id = %s", [identity]
        ).fetchone()
        self.operate("SELECT headrace.amend_campaigns(ARRAY[%s], %s)", identity, accept)
        if waits is not None and not accept:
            self.operated.add(identity)  # the operator lets the frozen numbers stand, whatever the rows say
        self.then(then)

    def operate(self, statement: str, identity: Any, *parameters: object) -> None:
        self.rows.pop(identity, None)
        with contextlib.suppress(psycopg.errors.NoDataFound, psycopg.errors.ObjectNotInPrerequisiteState):
            self.connection.execute(statement, [identity, *parameters])

    def then(self, what: str) -> None:
        if what == "drain":
            drain(self.connection, limit=7)
            assert self.connection.execute("SELECT headrace.rebuilds_pending()").fetchone() == (0,)
            self.compare()

    # --- what must hold

    def compare(self) -> None:
        """At rest, live numbers equal the recomputed ones. So do frozen numbers, unless an amendment waits."""
        found = outcomes(self.connection, WINDOW)
        expected = count(found)
        assert live(self.connection) == expected
        kept, hours = stored(self.connection), stored_series(self.connection)
        there = dict(self.connection.execute("SELECT id, status FROM campaigns").fetchall())
        waiting = {
            item[0]
            for item in self.connection.execute(
                "SELECT campaign_id FROM headrace.campaign_stats_pending_amendment"
            )
        }
        states = dict(self.connection.execute("SELECT campaign_id, state FROM headrace.campaign").fetchall())
        assert states.keys() >= there.keys()
        for identity in CAMPAIGNS:
            served = self.connection.execute("SELECT headrace.campaign_stats(%s)", [identity]).fetchone()
            assert served is not None
            document = served[0]
            state = states.get(identity)
            is_frozen = state in ("frozen", "amended")
            if identity not in there:
                assert (document is not None) == is_frozen
                if document is not None:
                    assert document["deleted_at"] is not None
                    assert document["source"] == "frozen"
                continue
            if is_frozen and (identity in waiting or identity in self.operated):
                continue
            self.operated.discard(identity)
            rows = self.source_rows(identity)
            if is_frozen:
                counted = self.rows.get(identity, rows)
                assert rows[0] >= counted[0], "messages are gone, and no amendment waits"
                assert rows[1] >= counted[1], "statuses are gone, and no amendment waits"
                self.rows[identity] = rows
            else:
                self.rows.pop(identity, None)
            assert state in ("live", "settling", "frozen", "amended")
            mine = {template: counts for (owner, template), counts in expected.items() if owner == identity}
            assert {
                template: counts for (owner, template), counts in kept.items() if owner == identity
            } == mine
            assert {hour: n for (owner, hour), n in hours.items() if owner == identity} == {
                hour: n for (owner, hour), n in series(found).items() if owner == identity
            }
            if not is_frozen and there[identity] in ("scheduled", "failed"):
                assert document["source"] == "none"
                continue
            assert document["source"] == ("frozen" if is_frozen else "computed")
            assert document["state"] == state
            assert state != "settling" or there[identity] == "completed"
            assert state != "live" or there[identity] != "completed"
            assert {
                item["template_name"]: tuple(item[counter] for counter in COUNTERS)
                for item in document["template_stats"]
            } == mine
            assert (
                document["totals"]["median_seconds_to_delivered"],
                document["totals"]["median_seconds_to_read"],
            ) == medians(found).get(identity, (None, None))
        held = self.connection.execute(
            "SELECT count(*) FROM headrace.message_outcome o JOIN headrace.campaign k USING (campaign_id)"
            " WHERE k.state IN ('frozen', 'amended')"
        ).fetchone()
        assert held == (0,), "a frozen campaign keeps no state of messages"
        assert self.connection.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
        assert self.connection.execute(
            "SELECT count(*) FROM headrace.campaign WHERE rebuild_error IS NOT NULL"
        ).fetchone() == (0,)

    def source_rows(self, identity: Any) -> tuple[int, int]:
        row = self.connection.execute(
            "WITH q AS (SELECT * FROM send_queue WHERE campaign_id = %s) SELECT (SELECT count(*) FROM q), (SELECT count(*)"
            " FROM message_status_logs WHERE whatsapp_message_id IN (SELECT whatsapp_message_id FROM q))",
            [identity],
        ).fetchone()
        assert row is not None
        return row

    @invariant()
    def versions_grow_and_frozen_numbers_change_on_record(self) -> None:
        if not hasattr(self, "versions"):
            return
        documents = self.connection.execute(
            "SELECT campaign_id, version, template_stats, totals, state FROM headrace.campaign_computed_stats"
        ).fetchall()
        hours: dict[Any, dict[Any, Any]] = defaultdict(dict)
        for (owner, hour), numbers in stored_series(self.connection).items():
            hours[owner][hour] = numbers
        for identity, version, templates, totals, state in documents:
            assert version >= self.versions[identity]
            self.versions[identity] = version
            before = self.frozen.pop(identity, None)
            if before is not None and before != (version, templates, totals, hours[identity]):
                record = self.connection.execute(
                    "SELECT template_stats, totals, changed FROM headrace.campaign_stats_amendment"
                    " WHERE campaign_id = %s AND version = %s ORDER BY id DESC LIMIT 1",
                    [identity, before[0]],
                ).fetchone()
                assert record is not None
                assert (record[0], record[1]) == before[1:3]
                assert version > before[0]
            if state in ("frozen", "amended"):
                self.frozen[identity] = (version, templates, totals, hours[identity])
        assert self.frozen.keys() <= {item[0] for item in documents}


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        for table in ("campaigns", "send_queue"):
            opened.execute(f"ALTER TABLE {table} ALTER status DROP NOT NULL")
        yield opened


@pytest.mark.long
@pytest.mark.server
@pytest.mark.hypothesis
def test_whatever_happens_served_numbers_are_right_and_frozen_ones_change_on_record(
    connection: Connection,
) -> None:
    def life() -> CampaignLife:
        machine = CampaignLife()
        machine.connection = connection
        return machine

    run_state_machine_as_test(
        life,
        settings=settings(
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
