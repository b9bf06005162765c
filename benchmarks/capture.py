"""What a trigger adds to an application's writes, in microseconds per row: ours and the alternatives', alternating."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from benchmarks.databases import Database, Databases
from benchmarks.report import Section
from benchmarks.timing import added, in_turn, milliseconds
from benchmarks.triggers import JSONB, NONE, NOTIFY, OURS, counted_anew, install, only

ROUNDS = 7
SINGLE, BULK = 4_000, 20_000

_BULK = {
    "watched": "UPDATE send_queue SET status = CASE status WHEN 'sent' THEN 'queued' ELSE 'sent' END WHERE id = ANY (%s)",
    "unwatched": "UPDATE send_queue SET note = coalesce(note, 0) + 1 WHERE id = ANY (%s)",
    "webhook": "INSERT INTO message_status_logs (whatsapp_message_id, status) SELECT id, 'read' FROM unnest(%s::text[]) id",
}


@dataclass(frozen=True)
class Case:
    """One kind of write. how: statement or transaction (one row each), or bulk (all rows in one statement)."""

    what: str
    kind: str
    how: str
    goal: str
    alternatives: tuple[str, ...] = (OURS, JSONB, NOTIFY)


CASES = [
    Case("update of an unwatched column, a row a statement", "unwatched", "statement", "≤ 5 µs"),
    Case("update of an unwatched column, a row a transaction", "unwatched", "transaction", "≤ 5 µs"),
    Case("update of an unwatched column, 20,000 rows at once", "unwatched", "bulk", "≤ 5 µs"),
    Case("update of a watched column, a row a statement", "watched", "statement", "≤ 50 µs"),
    Case("update of a watched column, a row a transaction", "watched", "transaction", "≤ 50 µs"),
    Case("update of a watched column, 20,000 rows at once", "watched", "bulk", "≤ 15 µs"),
    Case("insert of a status, a row a statement", "webhook", "statement", "", (OURS, JSONB)),
    Case("insert of statuses, 20,000 rows at once", "webhook", "bulk", "", (OURS, JSONB)),
]


def write(database: Database, kind: str, how: str, ids: list[UUID]) -> float:
    """Writes these rows. Returns microseconds per row."""
    if how == "bulk":
        taken = milliseconds(lambda: database.connection.execute(_BULK[kind].encode(), [ids]))
    else:
        taken = milliseconds(
            lambda: database.connection.execute(
                "CALL bench.write(%s, %s, %s, NULL, NULL)", [kind, ids, how == "transaction"]
            )
        )
    return taken * 1000 / len(ids)


def _measured(database: Database, case: Case, ids: list[UUID]) -> dict[str, list[float]]:
    expected = 0 if case.kind == "unwatched" else len(ids)

    def measure(alternative: str) -> float:
        only(database, alternative)
        captured = _captured(database)
        figure = write(database, case.kind, case.how, ids)
        logged = _captured(database) - captured
        assert logged == (expected if alternative == OURS else 0), (case.what, alternative, logged)
        database.connection.execute("VACUUM send_queue")
        return figure

    return in_turn(ROUNDS, {name: partial(measure, name) for name in (NONE, *case.alternatives)})


def _captured(database: Database) -> int:
    """Number of changes ever logged here, by the sequence: counting rows would take longer than writing them."""
    return int(
        database.value(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM headrace.change_log_pos_seq"
        )
    )


def _rows(case: Case, figures: dict[str, list[float]]) -> list[tuple[str, ...]]:
    ours = added(figures, OURS, NONE)
    rows: list[tuple[str, ...]] = []
    for other in case.alternatives[1:]:
        theirs = added(figures, other, NONE)
        rows.append(("", "", f"{theirs:+.1f} µs, {other}", f"{ours / theirs:.2f}" if theirs > 0 else "", ""))
    rows[0] = (case.what, f"{ours:+.1f} µs", *rows[0][2:4], case.goal)
    return rows


def _counts_trigger(database: Database) -> tuple[str, ...]:
    """One more row in a campaign: our capture of the queue against the seed's counts trigger on its contacts."""
    database.run_file("seeds/counts_trigger.sql", "seed")
    connection = database.connection
    connection.execute("ANALYZE")
    connection.execute("SET search_path = seed, public")
    campaign = database.value("SELECT id FROM campaigns LIMIT 1")
    size = database.value("SELECT count(*) FROM contacts")

    def insert(statement: str, count: int) -> float:
        began = "DO $$ BEGIN FOR n IN 1..%s LOOP %s; END LOOP; END $$"
        text = began % (count, statement % f"'{campaign}'")
        return milliseconds(lambda: connection.execute(text.encode())) * 1000 / count

    queue = "INSERT INTO send_queue (campaign_id, template_name) VALUES (%s, 'offer')"
    contact = "INSERT INTO contacts (campaign_id) VALUES (%s)"

    def seed(state: str) -> float:
        connection.execute(f"ALTER TABLE contacts {state} TRIGGER contacts_count_trigger".encode())
        return insert(contact, 20)

    def ours(alternative: str) -> float:
        only(database, alternative)
        return insert(queue, 2000)

    figures = in_turn(
        3,
        {
            NONE: lambda: ours(NONE),
            OURS: lambda: ours(OURS),
            "contacts": lambda: seed("DISABLE"),
            "counted": lambda: seed("ENABLE"),
        },
    )
    connection.execute("RESET search_path")
    a, b = added(figures, OURS, NONE), added(figures, "counted", "contacts")
    return (
        f"insert of a row into a campaign of {size:,}, a row a statement",
        f"{a:+.1f} µs",
        f"{b:+,.0f} µs, the seed's counts trigger",
        f"{a / b:.5f}",
        "",
    )


def run(databases: Databases) -> list[Section]:
    rows: list[tuple[str, ...]] = []
    with databases.database(1) as database:
        install(database)
        connection = database.connection
        connection.execute("SET synchronous_commit = off")  # waiting for a commit is not the trigger's cost
        ids = database.column("SELECT id FROM send_queue ORDER BY id LIMIT %s", [BULK])
        for case in CASES:
            some = ids if case.how == "bulk" else ids[:SINGLE]
            rows += _rows(case, _measured(database, case, some))
        rows.append(_counts_trigger(database))
        counted_anew(database)
    return [
        Section(
            "Capture: what it adds to a write",
            rows,
            text="Microseconds a row above the same write without trigger, medians over rounds in which the alternatives "
            "took turns. The statements run in the server, in a loop, so that no client is measured.",
        )
    ]
