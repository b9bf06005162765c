"""What the sensor completed_campaigns looks at: completions that the stream noticed, by the transactions that wrote them.

Ids and times of rows are not in the order of commits: who goes by them loses the rows of a transaction that commits late. What
a snapshot did not see and a later one sees is each row once.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from orchestration.campaign_stats.completions import MOST_NAMED, Noticed, Place
from orchestration.campaign_stats.recompute import STREAM
from orchestration.database.statements import statement

# A snapshot lists the transactions under way, and stands in the tag of a run, which is indexed. With very many of them an
# older one is taken: it sees nothing that this one does not, and what it leaves out is new to the next.
_MOST_LISTED = 64

_PLACE = statement("campaign_stats", "completions_place")
_NEW = statement("campaign_stats", "new_completions")


def find_place(connection: sa.Connection) -> Place | None:
    """Where this transaction looks, and what it sees; None where the stream is not registered: the domain is not active.

    Raises:
        sqlalchemy.exc.DBAPIError: any failure to read.
    """
    row = connection.exec_driver_sql(_PLACE, {"most": _MOST_LISTED, "stream": STREAM}).one()
    return Place(*row[:4]) if row[4] else None


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
    campaigns, gone, inside, first, last, named = connection.exec_driver_sql(_NEW, parameters).one()
    return Noticed(campaigns, gone, inside, first, last, tuple(named))
