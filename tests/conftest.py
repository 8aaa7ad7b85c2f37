"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


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
