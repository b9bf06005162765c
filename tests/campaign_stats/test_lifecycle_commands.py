"""`headrace campaigns`: what an operator sees of a campaign's life cycle, and decides about it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.lives import SENT, frozen_campaign, reply
from tests.campaign_stats.oracle import drain
from tests.commands import Headrace, a_sentence, run
from tests.rows import a_history, insert
from tests.sessions import as_role


@pytest.fixture
def headrace(database: str) -> Headrace:
    return lambda *arguments: run("campaigns", *arguments, HEADRACE_DATABASE_URL=database)


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def campaign(admin: psycopg.Connection[Any]) -> str:
    """A counted, running campaign, beside another one."""
    first, _ = a_history(admin)
    drain(admin)
    return str(first)


def told(result: Any) -> str:
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


def lose_statuses(admin: psycopg.Connection[Any]) -> None:
    admin.execute("DELETE FROM message_status_logs WHERE status = 'read'")
    drain(admin)


def test_freezing_and_reopening_say_what_became_of_each_campaign(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    assert told(headrace("freeze", campaign)) == f"campaign {campaign} frozen, version 1"
    assert told(headrace("freeze", campaign)) == f"campaign {campaign} was frozen already: frozen, version 1"
    admin.execute("INSERT INTO send_queue (campaign_id, template_name) VALUES (%s, 'late')", [campaign])
    drain(admin)
    assert told(headrace("freeze", campaign, campaign)).count("amended, version 2") == 1
    assert told(headrace("reopen", campaign)) == f"campaign {campaign} live, version 2"
    assert told(headrace("reopen", campaign)) == f"campaign {campaign} was not frozen: live, version 2"


def test_the_list_shows_the_newest_first_with_state_version_and_what_waits(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    newest = str(
        insert(admin, "campaigns", name="newest", status="completed", created_at="2199-01-01 00:00+00")
    )
    drain(admin)
    told(headrace("freeze", campaign))
    lose_statuses(admin)
    rows = json.loads(headrace("list", "--json").stdout)
    assert rows[0]["campaign"] == newest
    assert {row["campaign"]: row["state"] for row in rows}[newest] == "settling"
    assert {row["campaign"]: row["amendment_waits"] for row in rows}[campaign] is True
    text = told(headrace("list", "--state", "frozen"))
    assert campaign in text
    assert newest not in text
    assert text.endswith(" amendment")
    assert len(json.loads(headrace("list", "--limit", "1", "--json").stdout)) == 1
    assert told(headrace("list", "--state", "amended")) == "there are no campaigns in state amended"


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_on_a_narrow_terminal_words_and_ids_stay_whole(
    columns: int, database: str, admin: psycopg.Connection[Any], campaign: str
) -> None:
    completed = str(insert(admin, "campaigns", name="Spring offers", status="completed"))
    drain(admin)
    terminal = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(columns)}
    result = run("campaigns", "list", HEADRACE_DATABASE_URL=database, **terminal)
    lines = re.sub(r"\x1b\[\d*m", "", result.stdout).splitlines()  # bold headings
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    if columns == 40:  # a paragraph for each
        assert campaign in lines
        assert re.search(
            rf"{completed} name Spring offers, status completed, state settling, version 1, "
            rf"completed at {moment}, settles until {moment}",
            text,
        )
        assert "frozen at" not in text
        return
    (line,) = [line for line in lines if line.startswith(completed)]
    assert re.match(rf"{completed} +Spring (offers|offe…) +completed +settling +", line)
    without = re.search(r"For want of room without (.*): a pipe gets them", text)
    left_out = without[1].split(", ") if without else []
    assert (
        left_out
        == {
            80: ["version", "completed at", "settles until", "frozen at"],
            120: ["completed at"],
            200: [],
        }[columns]
    )
    assert len(re.findall(moment, line)) == 2 - len({"completed at", "settles until"} & set(left_out))


def test_times_that_no_calendar_has_are_listed_as_they_are(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    insert(admin, "campaigns", status="completed", completed_at="infinity")
    drain(admin)
    (row,) = json.loads(headrace("list", "--json").stdout)
    assert (row["state"], row["completed_at"]) == ("settling", "infinity")
    assert "infinity" in told(headrace("list"))


def test_a_campaign_without_a_status_is_not_listed_as_deleted(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("ALTER TABLE campaigns ALTER status DROP NOT NULL")
    insert(admin, "campaigns", status=None)
    drain(admin)
    (row,) = json.loads(headrace("list", "--json").stdout)
    assert (row["state"], row["status"]) == ("live", None)


def test_a_campaign_that_nobody_has_noticed_yet_has_no_amendments(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    newest = insert(admin, "campaigns", name="newest")
    assert "has not been amended, and nothing waits" in told(headrace("amendments", str(newest)))


def test_a_frozen_campaign_that_is_deleted_stays_on_the_list_under_its_name(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    told(headrace("freeze", campaign))
    admin.execute("DELETE FROM campaigns WHERE id = %s", [campaign])
    drain(admin)
    (row,) = json.loads(headrace("list", "--state", "frozen", "--json").stdout)
    assert (row["campaign"], row["name"], row["status"]) == (campaign, "first", "deleted")
    for action in (("freeze",), ("reopen",), ("amend", "--discard")):
        assert "the application has deleted campaign" in a_sentence(headrace(*action, campaign), 1)


def test_an_amendment_that_waits_is_shown_with_the_rows_that_are_gone_and_is_accepted(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    assert told(headrace("amendments")) == "no amendment waits"
    assert "has not been amended, and nothing waits" in told(headrace("amendments", campaign))
    told(headrace("freeze", campaign))
    lose_statuses(admin)
    assert re.search(r"\tlate changes\tmessage_status_logs 3\t1\t", headrace("amendments").stdout)
    assert (
        told(headrace("amend", "--accept", campaign)) == f"campaign {campaign} recounted: amended, version 2"
    )
    text = headrace("amendments", campaign).stdout
    assert re.search(r"1\t.*\tlate changes \(3 messages\)\tdelivered 9 to 6, ", text)
    shown = json.loads(headrace("amendments", campaign, "--json").stdout)
    assert shown["pending"] == []
    (record,) = shown["amendments"]
    assert record["version"] == 1
    assert record["why"]["fewer_rows_accepted"] is True
    assert told(headrace("amendments")) == "no amendment waits"


def test_an_amendment_of_the_series_alone_is_shown_by_its_hours(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    frozen = frozen_campaign(admin)
    reply(admin, "c phone 0", SENT + timedelta(hours=1))
    drain(admin)
    text = told(headrace("amendments", str(frozen)))
    hours = [f"{SENT + timedelta(hours=hours):%Y-%m-%d %H}:00" for hours in (1, 2)]
    assert f"replied 0 to 1 in the hour {hours[0]}, replied 1 to 0 in the hour {hours[1]}" in text


def test_an_amendment_that_waits_is_given_up_and_the_numbers_stand(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    told(headrace("freeze", campaign))
    lose_statuses(admin)
    assert (
        told(headrace("amend", campaign, "--discard")) == f"campaign {campaign} unchanged: frozen, version 1"
    )
    assert json.loads(headrace("amendments", "--json").stdout) == {"pending": []}


def test_a_campaign_that_lost_rows_is_reopened_only_if_that_is_accepted(
    headrace: Headrace, admin: psycopg.Connection[Any], campaign: str
) -> None:
    told(headrace("freeze", campaign))
    lose_statuses(admin)
    refused = a_sentence(headrace("reopen", campaign), 1)
    assert f"campaign {campaign} has fewer source rows" in refused
    assert "--accept-fewer-rows" in refused
    assert told(headrace("reopen", "--accept-fewer-rows", campaign)) == f"campaign {campaign} live, version 2"


@pytest.mark.parametrize("action", [("freeze",), ("reopen",), ("amend", "--accept"), ("amendments",)])
def test_a_campaign_that_does_not_exist_is_refused_by_its_id_with_where_to_look(
    action: tuple[str, ...], headrace: Headrace, campaign: str, admin: psycopg.Connection[Any]
) -> None:
    nobody = str(uuid.uuid4())
    others = [campaign] if action == ("freeze",) else []
    said = a_sentence(headrace(*action, *others, nobody), 1)
    assert said == f"headrace: there is no campaign {nobody}; headrace campaigns list shows those there are"
    assert a_sentence(headrace(*action, "x"), 2) == "headrace: x is not a campaign id (a uuid)"
    assert admin.execute("SELECT count(*) FROM headrace.campaign WHERE state = 'frozen'").fetchone() == (0,)


def test_a_decision_must_be_said_and_must_be_called_for(headrace: Headrace, campaign: str) -> None:
    assert "--accept" in a_sentence(headrace("amend", campaign), 2)
    assert "--discard" in a_sentence(headrace("amend", campaign, "--accept", "--discard"), 2)
    said = a_sentence(headrace("amend", campaign, "--accept"), 1)
    assert f"no amendment waits for campaign {campaign}" in said


def test_a_worker_s_role_may_do_all_of_it(
    database: str, admin: psycopg.Connection[Any], campaign: str
) -> None:
    def operate(*arguments: str) -> str:
        return told(run("campaigns", *arguments, HEADRACE_DATABASE_URL=as_role(database, "headrace_worker")))

    operate("freeze", campaign)
    lose_statuses(admin)
    assert campaign in operate("amendments")
    assert campaign in operate("list")
    operate("amend", "--accept", campaign)
    assert operate("reopen", campaign) == f"campaign {campaign} live, version 2"
