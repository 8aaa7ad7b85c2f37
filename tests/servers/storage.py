"""Google Cloud Storage, as an emulator in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import HANDLERS, Server, create_server


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
    with pytest.MonkeyPatch.context() as patch:
        _compare_generations(patch)
        server = create_server("127.0.0.1", port, in_memory=True, default_bucket=name)
        server.start()
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        # without credentials Beam asks a metadata server that is not there, for 20 seconds
        patch.setattr(auth._Credentials, "_credentials_init", True)
        yield server
        server.stop()


def _compare_generations(patch: pytest.MonkeyPatch) -> None:
    """Teach it `ifGenerationMatch`, which it does not know (Cloud Storage, "Request preconditions")."""
    one_at_a_time = threading.Lock()

    def comparing(handler):
        def compared(request, response, store, *args, **kwargs):
            wanted = request.query.get("ifGenerationMatch")
            with one_at_a_time:
                if wanted is None or _generation(request, store) == wanted[0]:
                    return handler(request, response, store, *args, **kwargs)
                response.status = HTTPStatus.PRECONDITION_FAILED
                return response.json({"error": {"code": 412, "message": "conditionNotMet"}})

        return compared

    for _, methods in HANDLERS:
        for method, handler in methods.items():
            if handler in (objects.insert, objects.delete):
                patch.setitem(methods, method, comparing(handler))


def _generation(request, store) -> str:
    """That of the object as it is; 0 where there is none."""
    name = request.params.get("object_id") or request.data["meta"]["name"]
    try:
        return str(store.get_file_obj(request.params["bucket_name"], name)["generation"])
    except NotFound:
        return "0"
