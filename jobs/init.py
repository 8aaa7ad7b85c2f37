"""`recon init`: a commented configuration with sample exports that runs as it stands."""

from __future__ import annotations

from pathlib import Path

from pipelines import filesystem
from reconcilers.errors import ConfigError, Unreachable

TEMPLATES = Path(__file__).parent / "templates"


def init(directory: Path) -> list[Path]:
    """Write `recon.yaml`, and the exports that it names into `exports/`.

    Returns:
        The files, the configuration first. It is written last: without it there is nothing to run.

    Raises:
        ConfigError: a file is there already; nothing was written.
        Unreachable: the directory cannot be written; nothing is left behind.
    """
    files = {_target(directory, template): template for template in sorted(TEMPLATES.glob("*.*"))}
    _refuse_existing(list(files))
    written: list[Path] = []
    try:
        for path, template in files.items():
            filesystem.makedirs(str(path.parent))
            filesystem.write_atomic(str(path), template.read_bytes())
            written.append(path)
    except Unreachable:
        for path in written:
            path.unlink()
        raise
    return sorted(files, key=lambda path: path.suffix == ".csv")


def _target(directory: Path, template: Path) -> Path:
    return directory / "exports" / template.name if template.suffix == ".csv" else directory / template.name


def _refuse_existing(paths: list[Path]) -> None:
    try:
        there = [path for path in paths if path.exists() or path.is_symlink()]
    except OSError as error:
        raise Unreachable(f"{error.filename}: {error.strerror}") from error
    if there:
        raise ConfigError([f"{path} exists already; nothing was written" for path in there])
