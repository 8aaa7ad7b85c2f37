"""Runs, leases and fires."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "recon_runs",
        sa.Column("run_id", sa.String(200), primary_key=True),
        sa.Column("job", sa.String(200)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("step", sa.String(40)),
        sa.Column("error", sa.Text),
        sa.Column("fire", _INSTANT),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT),
        sa.Column("verdict", sa.Text),
        sa.Column("keys", sa.BigInteger),
        sa.Column("faults", sa.BigInteger),
    )
    op.create_table(
        "recon_leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(400)),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("beat_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "recon_fires",
        sa.Column("job", sa.String(200), primary_key=True),
        sa.Column("fire", _INSTANT, primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("run_id", sa.String(200)),
        sa.Column("note", sa.Text),
        sa.Column("at", _INSTANT, nullable=False),
    )
