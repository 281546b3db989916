"""The price of an exchange, and what prices tell apart: writes kept for an hour, audio, searches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBERS = ("cache_write_1h", "audio_input", "audio_output", "tool_calls")


def upgrade() -> None:
    """Add the columns. Rows that are there used nothing of it, and do not say what price they had."""
    for name in _NUMBERS:
        op.add_column("usage", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("usage", sa.Column("price", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """There is no way back: what exchanges used would be lost."""
    raise NotImplementedError("the columns are not taken away")
