"""The tables of a campaign's life."""

from alembic import op

from orchestration.database import migration_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in migration_sql("0004_lifecycle"):
        op.execute(statement)
