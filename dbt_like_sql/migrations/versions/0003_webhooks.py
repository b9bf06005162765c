"""The tables of webhook intake."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for statement in migration_sql("0003_webhooks"):
        op.execute(statement)
