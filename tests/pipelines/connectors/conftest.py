"""One server of each kind for all tests of connectors."""

from __future__ import annotations

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
