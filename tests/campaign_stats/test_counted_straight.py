"""A campaign that was completed long ago is counted and frozen without a row for each of its messages."""

from __future__ import annotations

import pytest

from tests.campaign_stats.lives import LONG_AGO, SENT, Connection, a_campaign, held, state, totals, value
from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.rows import insert

# With more messages than this, one pass over the campaign's rows counts them (rebuild_campaign_stats).
SMALL_MESSAGES = 500


def inserted(app: Connection) -> int:
    """How many rows were ever inserted into headrace.message_outcome. The drain's sessions flushed the number when they ended."""
    app.execute("SELECT pg_stat_force_next_flush()")
    app.execute("SELECT pg_stat_clear_snapshot()")
    return int(
        value(
            app,
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'headrace' AND relname = 'message_outcome'",
        )
    )


@pytest.mark.parametrize("more", [0, SMALL_MESSAGES], ids=["small", "large"])
def test_no_message_is_stored_of_a_campaign_that_is_frozen_at_once(app: Connection, more: int) -> None:
    old = insert(app, "campaigns", name="old", status="running")
    app.execute(
        "INSERT INTO send_queue (campaign_id, user_phone, whatsapp_number_id, template_name, status, whatsapp_message_id, sent_at)"
        " SELECT %s, 'p' || n, 'n', 't' || n %% 3, 'sent', 'm' || n, %s FROM generate_series(1, %s) n",
        [old, SENT, more + 2],
    )
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)"
        " SELECT 'm' || n, CASE n %% 3 WHEN 0 THEN 'failed' WHEN 1 THEN 'read' ELSE 'delivered' END, %s"
        " FROM generate_series(1, %s) n",
        [SENT, more + 2],
    )
    insert(
        app, "messages", user_phone="p1", whatsapp_number_id="n", direction="incoming", created_at=LONG_AGO
    )
    app.execute("UPDATE campaigns SET status = 'completed', completed_at = %s WHERE id = %s", [LONG_AGO, old])
    before = inserted(app)
    drain(app)
    assert state(app, old) == "frozen"
    assert totals(app, old, "total", "read") == (more + 2, (more + 2 + 2) // 3)
    assert_all_agree(app)
    assert inserted(app) == before
    assert value(app, "SELECT headrace.rebuild_campaign_stats(ARRAY[%s]::uuid[])", old) == 0
    assert held(app, old)["message_outcome"] == 0


def test_beside_it_one_that_goes_on_keeps_its_messages(app: Connection) -> None:
    before = inserted(app)
    running = a_campaign(app, "running")
    assert inserted(app) == before + 3
    settling = a_campaign(app, "settling", "completed", completed_at=SENT.max.replace(tzinfo=SENT.tzinfo))
    frozen = a_campaign(app, "frozen", "completed", completed_at=LONG_AGO)
    app.execute("SELECT headrace.request_rebuild()")
    drain(app)
    assert [state(app, c) for c in (running, settling, frozen)] == ["live", "settling", "frozen"]
    assert inserted(app) == before + 6
    assert_all_agree(app)
