"""Which version the tables of schema headrace have, and upgrading them to the newest: Alembic, in migrate's transaction.

The first versions are in one folder. Each domain also has its own line, whose first version has no predecessor.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from orchestration.database.sql_files import SQL_ROOT, migration_folders
from orchestration.errors import HeadraceError
from orchestration.install.contract import read_contract


def _alembic(connection: sa.Connection | None = None) -> Config:
    config = Config()
    folders = [str(folder) for folder in migration_folders(read_contract()) if folder.is_dir()]
    config.set_main_option("script_location", str(SQL_ROOT.joinpath("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(folders).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: sa.Connection) -> None:
    """Upgrades the tables. Not as headrace_owner: a version may lock the application's tables.

    Raises:
        HeadraceError: the tables have a version that is unknown here.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        command.upgrade(_alembic(connection), "heads")
    except CommandError as error:
        raise HeadraceError(
            f"migrate: {error}; nothing was changed; a newer version made the tables, or a domain that this one lacks: use that one"
        ) from error


def installed(connection: sa.Connection) -> set[str]:
    """The newest installed version of each line."""
    return set(connection.exec_driver_sql("SELECT version_num FROM headrace.schema_version").scalars())


def difference(connection: sa.Connection) -> str | None:
    """Says, in words, that the tables have an older version; None if they have the newest."""
    there = installed(connection)
    heads = set(ScriptDirectory.from_config(_alembic()).get_heads())
    if heads <= there:
        return None
    newer = ", ".join(sorted(heads - there))
    if not there - heads:
        return f"tables of version {newer} are missing"
    return f"tables are at version {', '.join(sorted(there - heads))}, {newer} is the newest"
