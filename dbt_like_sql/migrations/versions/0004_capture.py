"""What capture need not check for every change."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in migration_sql("0004_capture"):
        op.execute(statement)
