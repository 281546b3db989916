"""The tables `usage` and `events`, and their indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_TEXTS = (
    *("request_id", "reservation_id", "trace_id", "tenant", "tenant_id", "department", "cost_centre", "user_id"),
    *("app_id", "caller", "session_id", "route", "model", "operation", "tool", "decision", "reason", "policy"),
    *("configuration", "why", "upstream", "backend", "response_model", "cache", "ending", "ended_by", "details"),
    *("result", "basis"),
)
_NUMBERS = (
    *("reserved_tokens", "input", "output", "cached_input", "cache_write", "reasoning", "total"),
    *("weighted", "latency_us", "first_byte_us", "status", "requests"),
)
_EVENT_TEXTS = (
    *("event", "level", "result", "tenant", "tenant_id", "user_id", "app_id", "session_id", "request_id"),
    *("exchange_id", "reservation_id", "model", "policy", "reason", "why", "action", "subject", "before", "after"),
    *("by_whom", "of_what"),
)


def _key() -> sa.types.TypeEngine[str]:
    # Keys are compared by their bytes, whatever the collation of the database.
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make them."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "usage",
        sa.Column("exchange_id", _key(), primary_key=True),
        sa.Column("decision_key", _key(), nullable=False),
        sa.Column("closing_key", _key(), nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("decided_at", time),
        sa.Column("decision_journal", sa.Text()),
        sa.Column("decision_sequence", sa.BigInteger()),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("closed_at", time),
        sa.Column("closing_journal", sa.Text()),
        sa.Column("closing_sequence", sa.BigInteger()),
        sa.Column("reserved_micro", sa.BigInteger()),
        sa.Column("cost_micro", sa.BigInteger()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _NUMBERS),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
        sa.Column("part_of", sa.Text()),
    )
    op.create_table(
        "events",
        sa.Column("journal", sa.Text(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", time, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _EVENT_TEXTS),
        sa.Column("lost", sa.BigInteger(), nullable=False),
    )
    _indexes()


def _indexes() -> None:
    for column in ("tenant_id", "user_id", "model"):
        op.create_index(f"usage_{column}_at", "usage", [column, "at"])
    op.create_index("usage_at", "usage", ["at"])
    op.create_index("usage_request_id", "usage", ["request_id"])
    for name, column, only in (
        ("usage_reservation_id", "reservation_id", "reservation_id <> ''"),
        ("usage_session_id", "session_id", "session_id <> ''"),
        ("usage_open", "at", "NOT closed"),
        ("usage_strays", "request_id", "decision = 'none'"),
        ("usage_parts", "part_of", "part_of IS NOT NULL"),
    ):
        # As SQLAlchemy writes the question: SQLite has no booleans.
        in_sqlite = only.replace("NOT closed", "closed = 0")
        op.create_index(name, "usage", [column], sqlite_where=sa.text(in_sqlite), postgresql_where=sa.text(only))
    op.create_index("events_at", "events", ["at"])
    op.create_index("events_tenant_id_at", "events", ["tenant_id", "at"])


def downgrade() -> None:
    """There is no way back: rows would be lost."""
    raise NotImplementedError("the first tables are not taken away")
