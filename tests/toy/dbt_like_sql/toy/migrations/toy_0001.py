"""The toy's tables."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "toy_0001"
down_revision = None


def upgrade() -> None:
    for statement in migration_sql("toy_0001", "toy"):
        op.execute(statement)
