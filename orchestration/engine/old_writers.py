"""Transactions that have been writing for a long time: until they commit, their changes do not arrive and their locks are held."""

from __future__ import annotations

import sqlalchemy as sa

from orchestration.database.sql_files import quoted_literal
from orchestration.errors import Problem


def old_writers(connection: sa.Connection, old_seconds: float) -> list[Problem]:
    """Sessions and prepared transactions that have been writing for longer than that, each with the statement that ends it."""
    rows = connection.execute(
        sa.text(
            "SELECT pid, extract(epoch FROM now() - xact_start), coalesce(application_name, '') FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
            " AND xact_start < now() - make_interval(secs => :old)"
        ),
        {"old": old_seconds},
    )
    prepared = connection.execute(
        sa.text(
            "SELECT gid, extract(epoch FROM now() - prepared), owner FROM pg_prepared_xacts"
            " WHERE database = current_database() AND prepared < now() - make_interval(secs => :old) ORDER BY prepared"
        ),
        {"old": old_seconds},
    )
    return [
        Problem(
            f"prepared transaction {gid} of role {owner} has waited {seconds:.0f} s to be committed: until then it holds its "
            "locks, and its changes do not come",
            f"ROLLBACK PREPARED {quoted_literal(gid)}; -- if it was forgotten",
        )
        for gid, seconds, owner in prepared
    ] + [
        Problem(
            f"a transaction of pid {pid} ({name}) has been writing for {seconds:.0f} s; its changes come when it commits",
            f"SELECT pg_terminate_backend({pid}); -- if it was forgotten",
        )
        for pid, seconds, name in rows
    ]
