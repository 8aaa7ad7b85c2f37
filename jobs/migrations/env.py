"""Alembic's entry point: migrate the connection that `jobs.ledger` opened, in its transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="recon_ledger",
    transactional_ddl=False,
)
context.run_migrations()
