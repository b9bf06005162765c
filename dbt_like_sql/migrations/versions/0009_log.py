"""What the engine's log and its upkeep need."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for statement in migration_sql("0009_log"):
        op.execute(statement)
