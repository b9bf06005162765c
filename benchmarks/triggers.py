"""The alternatives on a source table, one at a time: Headrace's capture, the seed's trigger, a JSONB audit trigger, none."""

from __future__ import annotations

from psycopg import sql

from benchmarks.databases import Database

NONE, OURS, JSONB, NOTIFY = "no trigger", "Headrace", "JSONB row trigger", "the seed's NOTIFY trigger"

_OURS = [f"!headrace_{op}" for op in ("insert", "update", "delete", "truncate")]
_TRIGGERS = {
    "send_queue": {OURS: _OURS, JSONB: ["audit_i_u_d"], NOTIFY: ["seed_notify"]},
    "message_status_logs": {OURS: _OURS, JSONB: ["audit_i_u_d"]},
}


def install(database: Database) -> None:
    """Creates the other triggers beside ours, and the functions that benchmarks write with."""
    database.run_file("seeds/notify_trigger.sql", "public")
    database.run_file("jsonb_trigger.sql", "audit")
    database.run_file("writes.sql", "bench")
    database.connection.execute("ALTER TABLE send_queue ADD COLUMN note integer")


def only(database: Database, alternative: str) -> None:
    """Enables this alternative and disables the others."""
    for table, alternatives in _TRIGGERS.items():
        for name, triggers in alternatives.items():
            for trigger in triggers:
                enabled = "ENABLE ALWAYS" if name == OURS else "ENABLE"
                state = enabled if name == alternative else "DISABLE"
                database.connection.execute(
                    sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(
                        sql.Identifier(table), sql.SQL(state), sql.Identifier(trigger)
                    )
                )


def counted_anew(database: Database) -> None:
    """Enables ours again, rebuilds what it missed, and compares the numbers."""
    only(database, OURS)
    database.connection.execute("SELECT headrace.request_rebuild()")
    database.drain()
    database.assert_right()
