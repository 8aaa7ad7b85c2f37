"""Work written down for another machine, without the secrets in it.

What `${NAME}` stands for is left out and only its place is kept; whoever reads the work looks the secrets
up where it runs: in its environment, else in the project's Secret Manager.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

from jobs.config_text import Secret, resolved
from reconcilers.errors import Unreachable


def seal(work: Any, project: str) -> bytes:
    """Work as bytes that hold no secret; `project` is whose Secret Manager has them."""
    buffer = io.BytesIO()
    _Sealer(buffer, project).dump(work)
    return buffer.getvalue()


def unseal(data: bytes) -> Any:
    """The work that `seal` wrote, with its secrets. Trusts the bytes as code: only for the workspace's own.

    Raises:
        Unreachable: a secret is neither in the environment nor in Secret Manager.
    """
    return _Unsealer(io.BytesIO(data)).load()


class _Sealer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, project: str) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._project = project

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        """What stands for a secret: its text as written, and where its values are."""
        return (value.written, self._project) if isinstance(value, Secret) else None


class _Unsealer(pickle.Unpickler):
    def persistent_load(self, pid: tuple[str, str]) -> Secret:
        """The secret that `pid` stands for."""
        written, project = pid
        return resolved(written, lambda name: _value_of(name, project))


def _value_of(name: str, project: str) -> str:
    if name in os.environ:
        return os.environ[name]
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    path = f"projects/{project}/secrets/{name}/versions/latest"
    try:
        found = SecretManagerServiceClient().access_secret_version(name=path, timeout=60)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise Unreachable(f"secret {path}: {' '.join(str(error).split())[:200]}") from error
    return str(found.payload.data.decode())
