"""States of campaigns are written by one function."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg

from tests.campaign_stats.lives import (
    LONG_AGO,
    NOW,
    Connection,
    a_campaign,
    frozen_campaign,
    operate,
    report,
    set_status,
    state,
)
from tests.campaign_stats.oracle import drain

WRITER = "enter_state"
# The columns that make up a campaign's state, by table.
OF_THE_STATE = {
    "campaign": {"state", "reopened_at", "settles_until", "frozen_status", "source_rows", "last_version"},
    "campaign_computed_stats": {"state", "frozen_at", "facts"},
}
_UPDATE = re.compile(
    r"UPDATE (?:ONLY )?headrace\.(campaign|campaign_computed_stats)\b(?: AS)?(?: \w+)? SET\b(.*?)(?:\bFROM\b|\bWHERE\b|\bRETURNING\b|;|\Z)",
    re.DOTALL,
)
_INSERT = re.compile(r"INSERT INTO headrace\.campaign\b[^(]*\(([^)]*)\)")


def written(source: str) -> Iterator[tuple[str, str]]:
    """Table and column of each assignment to a state column in a function's source."""
    code = re.sub(r"--.*", "", source)
    for table, assignments in _UPDATE.findall(code):
        for column in re.findall(r"\b(\w+)\s*=(?!=)", assignments):
            if column in OF_THE_STATE[table]:
                yield table, column
    for columns in _INSERT.findall(code):
        yield from (
            ("campaign", name) for name in re.findall(r"\w+", columns) if name in OF_THE_STATE["campaign"]
        )


def test_one_function_writes_the_states_of_campaigns(app: Connection) -> None:
    sources = app.execute("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace")
    writers = {name: found for name, source in sources if (found := set(written(source)))}
    assert set(writers) == {WRITER}
    assert writers[WRITER] == {
        (table, column) for table, columns in OF_THE_STATE.items() for column in columns
    }


def test_no_life_changes_a_state_but_by_that_function(app: Connection) -> None:
    """A pattern may miss a write (EXECUTE, a MERGE), so this test reads the call stack at each change."""
    app.execute(
        """
        CREATE FUNCTION public.note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_stack text;
        BEGIN
            GET DIAGNOSTICS v_stack = PG_CONTEXT;
            IF v_stack NOT LIKE '%function headrace.enter_state(%' AND v_stack NOT LIKE '%function enter_state(%' THEN
                RAISE EXCEPTION 'a state was written by %', v_stack;
            END IF;
            RETURN NULL;
        END
        $$
        """
    )
    for table, columns in OF_THE_STATE.items():
        changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in sorted(columns))
        app.execute(
            f"CREATE TRIGGER note_writer AFTER UPDATE ON headrace.{table} FOR EACH ROW WHEN ({changed})"
            " EXECUTE FUNCTION public.note_writer()".encode()
        )
    campaign = frozen_campaign(app)
    report(app, "c1", "read", NOW)
    drain(app)
    assert state(app, campaign) == "amended"
    operate(app, "reopen_campaigns", campaign)
    assert state(app, campaign) == "settling"
    set_status(app, campaign, "running")
    assert state(app, campaign) == "live"
    operate(app, "freeze_campaigns", campaign)
    set_status(app, campaign, "paused")
    assert state(app, campaign) == "live"
    app.execute("DELETE FROM campaigns WHERE id = %s", [campaign])
    drain(app)
    assert state(app, campaign) == "deleted"
    other = a_campaign(app, "d", "completed", completed_at=LONG_AGO)
    assert state(app, other) == "frozen"
    try:
        app.execute("UPDATE headrace.campaign SET state = 'live' WHERE campaign_id = %s", [other])
    except psycopg.errors.RaiseException:
        return
    raise AssertionError("the trigger sees no writer")
