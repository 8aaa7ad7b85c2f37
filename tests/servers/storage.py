"""Google Cloud Storage, as an emulator in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.server import Server, create_server


@contextmanager
def storage(name: str) -> Iterator[str]:
    """An empty bucket; while it is there, `gs://` means the emulator."""
    with emulator(name):
        yield f"gs://{name}"


@contextmanager
def emulator(name: str) -> Iterator[Server]:
    """The emulator with that bucket, to be stopped; stopping twice does no harm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=name)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        # without credentials Beam asks a metadata server that is not there, for 20 seconds
        patch.setattr(auth._Credentials, "_credentials_init", True)
        yield server
    server.stop()
