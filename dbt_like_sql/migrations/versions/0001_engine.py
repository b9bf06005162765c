"""The engine's tables."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in migration_sql("0001_engine"):
        op.execute(statement)
