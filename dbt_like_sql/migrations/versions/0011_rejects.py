"""Webhook parts that were refused."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for statement in migration_sql("0011_rejects"):
        op.execute(statement)
