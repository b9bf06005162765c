"""Which run the sensor completed_campaigns requests, decided from what the stream noticed.

The cursor is a snapshot of the database: what it does not see is new. A run's key is made of the cursor it comes after, and the
run bears the snapshot it goes up to. So a tick that is repeated after a crash finds the run it had requested, and goes on
from there: no second run of other campaigns, and none left out in between.

Ids and times of rows are not in the order of commits: who goes by them loses the rows of a transaction that commits late. What
a snapshot did not see and a later one sees is each row once.

Here: reading, and the decision. Not here: Dagster (sensors.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from orchestration.database.statements import statement

# The names stand in the run's config. The others are counted too, by the stream, as they are every second.
MOST_NAMED = 1000
# Transactions under way, of those that a snapshot lists in the tag of a run.
_MOST_LISTED = 64


class Cursor(BaseModel):
    """Up to where completions were looked at, as the sensor keeps it (JSON).

    since: when this cursor began. cluster, database: where the snapshot means something. seen: the snapshot, as PostgreSQL
    writes it; None: everything is new.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime
    cluster: int
    database: str
    seen: str | None = Field(pattern=r"^\d{1,20}:\d{1,20}:(\d{1,20}(,\d{1,20})*)?$")


@dataclass(frozen=True)
class Place:
    """Where and when it is looked.

    Attributes:
        now: the database's clock, with time zone.
        cluster, database: the server's system identifier and the database's name.
        snapshot: what is seen now, as PostgreSQL writes it.
    """

    now: datetime
    cluster: int
    database: str
    snapshot: str

    def is_behind(self, snapshot: str) -> bool:
        """Whether a snapshot is of the future: a database that was restored has transactions yet to come."""
        return int(snapshot.split(":")[1]) > int(self.snapshot.split(":")[1])


@dataclass(frozen=True)
class Noticed:
    """The campaigns whose completion is new.

    Attributes:
        campaigns: how many.
        gone: of them, deleted since.
        inside: of them, of a day that is a partition; first, last: these days' ends.
        named: the first ones that are still there, at most MOST_NAMED.
    """

    campaigns: int = 0
    gone: int = 0
    inside: int = 0
    first: date | None = None
    last: date | None = None
    named: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Request:
    """A run over the partitions first to last that recomputes the named campaigns. until: the snapshot it goes up to."""

    first: date
    last: date
    campaigns: tuple[UUID, ...]
    run_key: str
    until: str


@dataclass(frozen=True)
class Decision:
    """cursor: to be stored after the run was requested. note: the state of things in a sentence, for the tick."""

    request: Request | None
    cursor: Cursor
    note: str


def find_place(connection: sa.Connection, stream: str) -> Place | None:
    """Where this transaction looks, and what it sees; None where the stream is not registered: the domain is not active.

    Raises:
        sqlalchemy.exc.DBAPIError: any failure to read.
    """
    parameters = {"most": _MOST_LISTED, "stream": stream}
    row = connection.exec_driver_sql(statement("campaign_stats", "completions_place"), parameters).one()
    return Place(*row[:4]) if row.registered else None


def read_noticed(
    connection: sa.Connection, seen: str | None, until: str, partitions: tuple[date, date] | None
) -> Noticed:
    """The campaigns whose completion the snapshot `seen` did not see and `until` does; without `seen`, all there are.

    Args:
        partitions: the first and the last day that exist as partitions; None where there are none yet.

    Raises:
        sqlalchemy.exc.DBAPIError: as `find_place`: an unread table is not an empty one.
    """
    from_day, to_day = partitions or (None, None)
    parameters = {"seen": seen, "until": until, "first": from_day, "last": to_day, "most": MOST_NAMED}
    row = connection.exec_driver_sql(statement("campaign_stats", "completions_noticed"), parameters).one()
    return Noticed(row.campaigns, row.gone, row.inside, row.first_day, row.last_day, tuple(row.named))


def read_cursor(text: str | None, place: Place) -> tuple[Cursor, str | None]:
    """The cursor, a new one where there is none or it is of no use here; and what is wrong with the old one, if that was why."""
    new = Cursor(since=place.now, cluster=place.cluster, database=place.database, seen=None)
    if not text:
        return new, None
    try:
        cursor = Cursor.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        return new, f"the cursor is not one of ours ({where + ': ' if where else ''}{problem['msg']})"
    if (cursor.cluster, cursor.database) != (place.cluster, place.database):
        return new, "the cursor is of another database: this one was restored, cloned or renamed"
    if cursor.seen is not None and place.is_behind(cursor.seen):
        return new, "the cursor lies in the future: this database was restored"
    return cursor, None


def run_key(cursor: Cursor) -> str:
    """The key of the one run that may come after this cursor."""
    return f"completed {cursor.since:%Y-%m-%dT%H:%M:%S.%f} after {cursor.seen or 'nothing'}"


def decide(noticed: Noticed, cursor: Cursor, until: str) -> Decision:
    """What to request for the campaigns that are new after the cursor and seen by the snapshot until."""
    request = None
    if noticed.first is not None and noticed.last is not None:
        request = Request(noticed.first, noticed.last, noticed.named, run_key(cursor), until)
    return Decision(request, cursor.model_copy(update={"seen": until}), _note(noticed, cursor))


def _note(noticed: Noticed, cursor: Cursor) -> str:
    if not noticed.campaigns:
        return (
            "no campaign was completed since the last look"
            if cursor.seen is not None
            else "a first look: no completion of the last 30 days is on record"
        )
    text = f"{noticed.campaigns} campaigns were completed"
    if noticed.gone:
        text += f", {noticed.gone} of them deleted since"
    outside = noticed.campaigns - noticed.gone - noticed.inside
    if outside:
        text += (
            f", {outside} of them created on days without a partition (before HEADRACE_PARTITIONS_START): "
            "counted and served like all others, but there is nothing to materialize"
        )
    return text
