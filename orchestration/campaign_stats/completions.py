"""Which run the sensor completed_campaigns requests, decided from the completions that the stream recorded.

The cursor is a snapshot of the database: completions that it does not see are new. A run's key is made from the cursor before it,
and a tag of the run holds the snapshot up to which it goes. So a tick that is repeated after a crash finds the run it had
requested, and continues from there. It requests no second run for other campaigns, and leaves none out.

Ids and timestamps of rows do not follow the order of commits: a cursor made from them would miss the rows of a transaction that
commits late. Between two snapshots, each row is new exactly once.

Here: reading, and the decision. Not here: Dagster (sensors.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from orchestration.database.statements import statement

# The run's config holds their ids. The stream counts the other campaigns too, as it does all the time.
MOST_NAMED = 1000
# How many transactions in progress the snapshot in a run's tag may list.
_MOST_LISTED = 64


class Cursor(BaseModel):
    """How far the sensor has read completions, as it stores that (JSON).

    since: when this cursor began. cluster, database: where the snapshot is valid. seen: the snapshot, as PostgreSQL
    writes it; None: everything is new.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime
    cluster: int
    database: str
    seen: str | None = Field(pattern=r"^\d{1,20}:\d{1,20}:(\d{1,20}(,\d{1,20})*)?$")


@dataclass(frozen=True)
class Place:
    """The database that is read, and the moment.

    Attributes:
        now: the database's clock, with time zone.
        cluster, database: the server's system identifier and the database's name.
        snapshot: the current one, as PostgreSQL writes it.
    """

    now: datetime
    cluster: int
    database: str
    snapshot: str

    def is_behind(self, snapshot: str) -> bool:
        """Whether a snapshot lies in the future: a restored database has not come to its transactions yet."""
        return int(snapshot.split(":")[1]) > int(self.snapshot.split(":")[1])


@dataclass(frozen=True)
class Noticed:
    """The campaigns whose completion is new.

    Attributes:
        campaigns: how many there are.
        gone: how many of them were deleted since.
        inside: how many of them were created on a day that is a partition; first, last: the first and last such day.
        named: the first ones that still exist, at most MOST_NAMED.
    """

    campaigns: int = 0
    gone: int = 0
    inside: int = 0
    first: date | None = None
    last: date | None = None
    named: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Request:
    """A run over the partitions first to last that recomputes these campaigns. until: the snapshot up to which it goes."""

    first: date
    last: date
    campaigns: tuple[UUID, ...]
    run_key: str
    until: str


@dataclass(frozen=True)
class Decision:
    """cursor: stored after the run was requested. note: the situation in a sentence, for the tick."""

    request: Request | None
    cursor: Cursor
    note: str


def find_place(connection: sa.Connection, stream: str) -> Place | None:
    """The database and snapshot of this transaction; None if the stream is not registered, so the domain is not active.

    Raises:
        sqlalchemy.exc.DBAPIError: any failure to read.
    """
    parameters = {"most": _MOST_LISTED, "stream": stream}
    row = connection.exec_driver_sql(statement("campaign_stats", "completions_place"), parameters).one()
    return Place(*row[:4]) if row.registered else None


def read_noticed(
    connection: sa.Connection, seen: str | None, until: str, partitions: tuple[date, date] | None
) -> Noticed:
    """The campaigns whose completion is seen by the snapshot `until`, but not by `seen`. Without `seen`: all there are.

    Args:
        partitions: the first and the last day that exist as partitions; None if there are none yet.

    Raises:
        sqlalchemy.exc.DBAPIError: as `find_place`. A table that could not be read is not an empty one.
    """
    from_day, to_day = partitions or (None, None)
    parameters = {"seen": seen, "until": until, "first": from_day, "last": to_day, "most": MOST_NAMED}
    row = connection.exec_driver_sql(statement("campaign_stats", "completions_noticed"), parameters).one()
    return Noticed(row.campaigns, row.gone, row.inside, row.first_day, row.last_day, tuple(row.named))


def read_cursor(text: str | None, place: Place) -> tuple[Cursor, str | None]:
    """The cursor, or a new one if there is none or it is of no use here; in the latter case also what is wrong with it."""
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
    """The key of the only run that may follow this cursor."""
    return f"completed {cursor.since:%Y-%m-%dT%H:%M:%S.%f} after {cursor.seen or 'nothing'}"


def decide(noticed: Noticed, cursor: Cursor, until: str) -> Decision:
    """What to request for the campaigns whose completion the cursor has not seen and the snapshot `until` sees."""
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
