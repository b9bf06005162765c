"""The tables of a campaign's life."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for statement in migration_sql("0006_lifecycle"):
        op.execute(statement)
