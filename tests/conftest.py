"""What every test may ask for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import bigquery
import databases
import pytest
from hypothesis import settings

# A busy machine is no defect: no test is timed.
settings.register_profile("recon", deadline=None)
settings.load_profile("recon")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than cores: while some tests wait for a server, others run."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """Skip for a reason on a laptop, fail for it where `CI` is set: nothing goes untested unseen."""

    def require(condition: object, reason: str) -> None:
        if condition:
            return
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return require


@pytest.fixture(scope="session")
def emulator():
    """The Pub/Sub emulator, one for all tests of a process."""
    from pubsub import pubsub

    with pubsub() as running:
        yield running


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
