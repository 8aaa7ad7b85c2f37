"""Migrations of the ledger, applied by `jobs.ledger`."""
