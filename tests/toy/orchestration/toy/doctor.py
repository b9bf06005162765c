"""What doctor says about this domain."""

from __future__ import annotations

import sqlalchemy as sa

from orchestration.errors import Problem


def errors(connection: sa.Connection) -> list[Problem]:
    lost = connection.exec_driver_sql(
        "SELECT count(*) FROM public.orders WHERE phone = 'nobody'"
    ).scalar_one()
    return [Problem("an order is nobody's", "find out whose")] if lost else []


def notes(connection: sa.Connection, schema: str, fits: bool) -> list[Problem]:
    return [Problem(f"toys are in schema {schema}", "play")] if fits else []
