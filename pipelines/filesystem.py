"""The few file verbs that the project needs, for local paths and `gs://` prefixes alike.

Local paths go straight to the operating system; anything with a scheme goes through Beam's file
systems. Whatever goes wrong is one clear `Unreachable`.
"""

from __future__ import annotations

import glob as local_glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa

from reconcilers.errors import Unreachable


def is_remote(path: str) -> bool:
    """Whether the path has a scheme, such as `gs://`."""
    return "://" in path


def join(first: str, *more: str) -> str:
    """The path of something below a directory or prefix."""
    return "/".join([first.rstrip("/"), *more])


def absolute(base: str, path: str) -> str:
    """A path that may be relative to the directory `base`."""
    return str(Path(base) / Path(path).expanduser())


def glob(pattern: str) -> list[str]:
    """The files that match, sorted; none where nothing does."""
    if is_remote(pattern):
        with _told(pattern):
            (match,) = _beam().match([pattern])
            return sorted(m.path for m in match.metadata_list)
    if Path(pattern).is_file():
        return [pattern]
    found = local_glob.glob(pattern, recursive=True)  # noqa: PTH207  the pattern may be absolute
    return sorted(path for path in found if Path(path).is_file())


def size(path: str) -> int:
    """The size of a file in bytes."""
    return version(path).size


@dataclass(frozen=True)
class Version:
    """What tells one content of a file from another: its bytes, and when it was written (seconds since 1970)."""

    size: int
    written_at: float


def version(path: str) -> Version:
    """The version of a file that is there now."""
    with _told(path):
        if is_remote(path):
            found = _metadata(path)
            return Version(int(found.size_in_bytes), float(found.last_updated_in_seconds))
        told = Path(path).stat()
        return Version(told.st_size, told.st_mtime)


def modified_at(path: str) -> datetime:
    """When the file was written last."""
    return datetime.fromtimestamp(version(path).written_at, UTC)


def exists(path: str) -> bool:
    """Whether there is a file, directory or object at `path`."""
    if is_remote(path):
        return bool(_beam().exists(path))
    return Path(path).exists()


def makedirs(path: str) -> None:
    """Make a local directory and its parents; prefixes need none."""
    if not is_remote(path):
        with _told(path):
            Path(path).mkdir(parents=True, exist_ok=True)


def list_files(directory: str) -> list[str]:
    """The files directly below a directory or prefix, sorted; none where it does not exist."""
    if is_remote(directory):
        with _told(directory):
            (match,) = _beam().match([join(directory, "*")])
            prefix = directory.rstrip("/") + "/"
            return sorted(m.path for m in match.metadata_list if "/" not in m.path[len(prefix) :])
    if not Path(directory).is_dir():
        return []
    with _told(directory):
        return sorted(str(path) for path in Path(directory).iterdir() if path.is_file())


def list_dirs(directory: str) -> list[str]:
    """The directories directly below a directory or prefix, sorted; none where it does not exist."""
    if is_remote(directory):
        prefix = directory.rstrip("/") + "/"
        with _told(directory):
            (match,) = _beam().match([prefix + "**"])
            below = {
                m.path[len(prefix) :].split("/", 1)[0] for m in match.metadata_list if "/" in m.path[len(prefix) :]
            }
            return sorted(prefix + name for name in below)
    if not Path(directory).is_dir():
        return []
    with _told(directory):
        return sorted(str(path) for path in Path(directory).iterdir() if path.is_dir())


@contextmanager
def open_read(path: str) -> Iterator[IO[bytes]]:
    """A seekable binary file to read."""
    with _told(path):
        file: Any = _opened(path)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def open_unpacked(path: str, compression: str | None) -> Iterator[IO[bytes]]:
    """A binary stream to read, unpacked (`gzip`, `zstd`, or None for plain bytes)."""
    with open_read(path) as file:
        if compression is None:
            yield file
        else:
            with pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) as stream:
                yield stream


@contextmanager
def create(path: str) -> Iterator[IO[bytes]]:
    """A file to write that appears whole, or not at all.

    Local files are written beside their place and renamed; objects appear when they are closed.
    """
    if is_remote(path):
        with _told(path), _beam().create(path, compression_type="uncompressed") as file:
            yield file
        return
    final = Path(path)
    partial = final.with_name(f".{final.name}.{uuid4().hex[:8]}.partial")
    try:
        with _told(path):
            final.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(final)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def write_atomic(path: str, data: bytes | memoryview) -> None:
    """Write a whole file; no reader ever sees a part of it."""
    with create(path) as file:
        file.write(data)


def copy(source: str, path: str) -> None:
    """Copy a file, whole or not at all."""
    with open_read(source) as file, create(path) as other:
        shutil.copyfileobj(file, other)


def delete(path: str) -> None:
    """Remove a file, or a directory with everything below it."""
    with _told(path):
        if is_remote(path):
            _beam().delete([path])
        elif Path(path).is_dir():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)


def _opened(path: str) -> Any:
    if is_remote(path):
        return _Remote(path, _beam().open(path, compression_type="uncompressed"))
    return Path(path).open("rb")


class _Remote:
    """A remote file, whose errors while it is read name it, as those of opening it do."""

    def __init__(self, path: str, file: Any) -> None:
        self._path = path
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all there are if it is negative. Raises `Unreachable`."""
        with _told(self._path):
            data: bytes = self._file.read(size)
            return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns how many bytes there were. Raises `Unreachable`."""
        with _told(self._path):
            count: int = self._file.readinto(buffer)
            return count


def _metadata(path: str) -> Any:
    (match,) = _beam().match([path])
    if not match.metadata_list:
        raise FileNotFoundError(2, "no such object", path)
    return match.metadata_list[0]


def _beam() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


@contextmanager
def _told(path: str) -> Iterator[None]:
    """An error of the file system as one line that names the file."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise Unreachable(f"{where}: {error.strerror or error}") from error
    except Exception as error:
        if not is_remote(path) or isinstance(error, Unreachable):
            raise
        raise Unreachable(f"{path}: {' '.join(str(error).split())[:300]}") from error
