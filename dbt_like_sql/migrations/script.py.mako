"""${message}."""

from alembic import op

from orchestration.database import migration_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    for statement in migration_sql("${up_revision}_${message}"):
        op.execute(statement)
