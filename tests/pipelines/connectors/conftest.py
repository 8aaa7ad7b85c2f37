"""One server of each kind for all tests of connectors."""

from __future__ import annotations

import subprocess

import bigquery
import databases
import pytest


@pytest.fixture(scope="session")
def postgresql():
    with databases.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    with databases.mariadb() as server:
        yield server


@pytest.fixture
def sqlite(tmp_path):
    return databases.Sqlite(tmp_path / "erp.db")


@pytest.fixture(scope="session")
def warehouse(require):
    """An emulator of BigQuery with an empty dataset `shop`."""
    try:
        bigquery.environment()
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"no emulator of BigQuery: {error}")
    with bigquery.emulator() as emulator:
        emulator.client.create_dataset("shop", timeout=30)
        yield emulator
