"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

# A busy machine is no defect: no test is timed.
settings.register_profile("recon", deadline=None)
settings.load_profile("recon")


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
