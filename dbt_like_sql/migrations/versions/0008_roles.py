"""Schema headrace belongs to a role of its own."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for statement in migration_sql("0008_roles"):
        op.execute(statement)
