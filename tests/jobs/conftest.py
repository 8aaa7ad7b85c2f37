"""What the tests of jobs share."""

from __future__ import annotations

import pytest

from pipelines import connectors


@pytest.fixture
def webhook(monkeypatch):
    """A sink for tests beside the connectors that there are."""
    monkeypatch.setitem(connectors.REGISTRY, "webhook", "webhook_sink")
