"""The queue of campaigns that wait to be counted."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for statement in migration_sql("0010_rebuilds"):
        op.execute(statement)
