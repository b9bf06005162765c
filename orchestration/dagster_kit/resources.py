"""The application's database, for assets, checks and sensors."""

from __future__ import annotations

import dagster as dg
import sqlalchemy as sa

from orchestration.database.connections import engine


class ApplicationDatabase(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The database that the environment names, looked up each time it is used: nothing is read at import.

    It has no configuration, so that no password ever stands in a run's config.
    """

    def url(self) -> str:
        """`postgresql://…`; starts the embedded server if that is the database.

        Raises:
            HeadraceError: the environment is wrong, or the embedded server does not start.
        """
        from orchestration.local.target import database_url
        from orchestration.settings import read_settings

        return database_url(read_settings())

    def engine(self) -> sa.Engine:
        """An engine without a pool. It is not connected yet, and need not be disposed of.

        Raises:
            HeadraceError: as `url`.
        """
        return engine(self.url())
