"""`recon doctor`: look at everything that a run needs, and say what to do about what is wrong."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jobs.config import Config, load
from jobs.config_text import redacted
from pipelines import connectors, filesystem, snapshots
from reconcilers import profiles
from reconcilers.errors import ConfigError, ReconError
from reconcilers.mapping import check_columns

if TYPE_CHECKING:
    from pipelines.capture import CaptureRequest
    from pipelines.connectors import Plan

DISTRIBUTION = "recon-toolkit"

#: Free disk that a run should find: a floor, and for each row about what snapshots and outputs take.
FREE_BYTES = 100_000_000
FREE_BYTES_PER_ROW = 400

#: How far a source's clock may be off.
SKEW = timedelta(minutes=1)

#: Batches of a source in which its columns must turn up.
_BATCHES = 20


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is fine, what there is, and what to do if it is not."""

    check: str
    ok: bool
    message: str
    remedy: str = ""


def examine(path: Path) -> list[Finding]:
    """Look at the environment, the configuration, and all that it names.

    Nothing is kept: the workspace is probed with a file that is deleted again.
    """
    findings = [*_python(), *_packages(), *_time_zones()]
    try:
        config = load(path)
    except ConfigError as error:
        return findings + [_wrong("configuration", problem, _config_remedy(path)) for problem in error.problems]
    looked = list(_sources(config))
    rows = sum(rows for _, rows in looked)
    return [
        *findings,
        *_configuration(path, config),
        *_profiles(config),
        *(finding for finding, _ in looked),
        *_outputs(config),
        *_workspace(config, rows),
        *_leftovers(config.workspace),
    ]


def _python() -> Iterator[Finding]:
    have, want = platform.python_version(), metadata(DISTRIBUTION)["Requires-Python"]
    if SpecifierSet(want).contains(have, prereleases=True):
        yield _fine("python", have)
    else:
        yield _wrong("python", f"{have}, recon needs {want}", "Make the environment with a Python in that range.")


def _packages() -> Iterator[Finding]:
    """The packages that the distribution declares, by their metadata: nothing is imported."""
    wanted = [Requirement(text) for text in requires(DISTRIBUTION) or []]
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    problems = [(each, problem) for each in needed if (problem := _package_problem(each))]
    for each, problem in problems:
        yield _wrong("packages", problem, f"Install it: pip install '{each.name}{each.specifier}'")
    if not problems:
        yield _fine("packages", f"all {len(needed)} as required")


def _package_problem(requirement: Requirement) -> str | None:
    try:
        have = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(have, prereleases=True):
        return None
    return f"{requirement.name} is {have}, recon needs {requirement.specifier}"


def _time_zones() -> Iterator[Finding]:
    """Python and Arrow have a database of time zones each."""
    try:
        ZoneInfo("Europe/Berlin")
        pc.assume_timezone(pa.scalar(datetime(2026, 1, 1), pa.timestamp("us")), "Europe/Berlin")  # noqa: DTZ001
    except (ZoneInfoNotFoundError, pa.ArrowInvalid) as error:
        remedy = "Install the time zone database: the system's package tzdata, and pip install tzdata."
        yield _wrong("time zones", f"no database: {_line(error)}", remedy)
    else:
        yield _fine("time zones", "found")


def _config_remedy(path: Path) -> str:
    if not path.exists():
        return "Write one with `recon init`, or name another with -c."
    return "Correct this line; `recon connectors` and `recon profiles` show what there is."


def _configuration(path: Path, config: Config) -> Iterator[Finding]:
    parts = {"system": len(config.systems), "pair": len(config.pairs), "job": len(config.jobs)}
    counts = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in parts.items())
    yield _fine("configuration", f"{path}: {counts}")
    if config.now is not None:
        yield _fine("clock", f"fixed at {config.now.isoformat()} by `now:`; remove it to judge at the present")


def _profiles(config: Config) -> Iterator[Finding]:
    """The profiles in use, which `load` has read, and all of the user's own."""
    used = {system.stock.profile for system in config.systems.values() if system.stock}
    own = {path.stem for path in config.profiles.glob("*.yaml")} if config.profiles else set()
    for name in sorted(used | own):
        try:
            profile = profiles.load(name, config.profiles)
        except ConfigError as error:
            for problem in error.problems:
                yield _wrong(f"profile {name}", problem, "Correct the file; `recon profiles show NAME` explains one.")
        else:
            yield _fine(f"profile {name}", f"version {profile.version}: {profile.title}")


def _sources(config: Config) -> Iterator[tuple[Finding, int]]:
    """Each dataset, and about how many rows it has."""
    try:
        from jobs import plan, records
    except ImportError as error:
        yield _wrong("sources", f"cannot be read: {error}", "Install the packages that are missing."), 0
        return
    now = config.now or datetime.now(UTC)
    for name in config.places:
        try:
            requests = plan.captures(config, [name])
            requests += [records.request(config, side) for side in records.all_of(config, [name])]
        except ReconError as error:
            yield _wrong(f"system {name}", str(error), "Correct the file: CSV with a first line of column names."), 0
            continue
        for request in requests:
            yield _source(request, now)


def _source(request: CaptureRequest, now: datetime) -> tuple[Finding, int]:
    check = f"source {request.name}"
    try:
        source = connectors.open_source(request.connector, request.options, request.context)
        began = datetime.now(UTC)
        planned = source.plan(now)
        took = datetime.now(UTC) - began
        # What a tap is read for, it gives away; what is known need not be exported to be seen.
        if planned.columns is not None:
            check_columns(list(planned.columns), request.mapping)
        elif not isinstance(source, connectors.Tap):
            _check_columns(source, planned, request)
    except ReconError as error:
        message = redacted(str(error), request.options)
        return _wrong(check, message, _source_remedy(error)), 0
    words = f"{_in_words(planned)}, answered in {took.total_seconds():.2f} s"
    if planned.clock is None:
        return _fine(check, words), planned.estimated_rows
    return _told_the_time(check, words, planned.clock - began, took), planned.estimated_rows


def _told_the_time(check: str, words: str, ahead: timedelta, took: timedelta) -> Finding:
    """What the source's clock said while it answered: it may be as far off as the answer took."""
    off = max(ahead - took, -ahead, timedelta(0))
    words += f", its clock is {_seconds(ahead)} s from ours" if off else ", its clock agrees with ours"
    if off > SKEW:
        return _wrong(check, words, "Set both clocks by NTP: what systems say is compared by its instants.")
    return _fine(check, words)


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():+.1f}"


def _check_columns(source: connectors.Source, planned: Plan, request: CaptureRequest) -> None:
    """Read as much of the first split as it takes to see the columns that the mapping names."""
    names: dict[str, None] = {}
    missing: ConfigError | None = None
    for batch in islice(source.read(planned.splits[0]), _BATCHES) if planned.splits else ():
        names |= dict.fromkeys(batch.rows.column_names)
        try:
            return check_columns(list(names), request.mapping)
        except ConfigError as error:
            missing = error
    if missing is not None:
        raise missing


def _outputs(config: Config) -> Iterator[Finding]:
    """Ask each output for the time; nothing is written."""
    output = config.outputs.bigquery
    if output is None:
        return
    from pipelines.connectors.bigquery_client import Warehouse, told

    began = datetime.now(UTC)
    warehouse = Warehouse(output.place)
    try:
        with told(f"bigquery://{output.project}.{output.dataset}"):
            ahead = warehouse.instant - began
    except ReconError as error:
        remedy = "Check the credentials, the project and its location; `recon export RUN outputs` sends a run again."
        yield _wrong("output bigquery", redacted(str(error), output.model_dump()), remedy)
        return
    finally:
        warehouse.close()
    took = datetime.now(UTC) - began
    words = f"{output.project}.{output.dataset}, answered in {took.total_seconds():.2f} s"
    yield _told_the_time("output bigquery", words, ahead, took)


def _source_remedy(error: ReconError) -> str:
    if isinstance(error, ConfigError):
        return "Correct the dataset in the configuration; `recon connectors` shows its keys."
    return "Check that what the dataset names is there, whole, and readable from here."


def _in_words(planned: Plan) -> str:
    count, pieces = len(planned.sources), len(planned.splits)
    what = f"{count} source{'' if count == 1 else 's'} in {pieces} split{'' if pieces == 1 else 's'}"
    rows = f"about {planned.estimated_rows:,} row{'' if planned.estimated_rows == 1 else 's'}"
    what += ", with what is new since the last capture" if planned.incremental else f", {rows}"
    as_of = f"as of {planned.as_of.isoformat()}" if planned.as_of else "as of what its rows say"
    watermark = f", complete up to {planned.watermark.isoformat()}" if planned.watermark else ""
    return f"{what}, {as_of}{watermark}"


def _workspace(config: Config, rows: int) -> Iterator[Finding]:
    root = config.workspace
    try:
        _probe(root)
    except ReconError as error:
        yield _wrong("workspace", f"cannot be written: {error}", "Grant write permission, or set workspace: elsewhere.")
        return
    if filesystem.is_remote(root):
        yield _fine("workspace", f"{root} is writable")
        return
    free, needed = shutil.disk_usage(_nearest(Path(root))).free, FREE_BYTES + rows * FREE_BYTES_PER_ROW
    words = f"{root} is writable, {free / 1e9:,.1f} GB free"
    if free < needed:
        yield _wrong(
            "workspace", f"{words}; a run may need {needed / 1e9:,.1f} GB", "Free space, or set workspace: elsewhere."
        )
    else:
        yield _fine("workspace", words)


def _probe(root: str) -> None:
    """Write and delete a file, and the directories that it took."""
    before = _nearest(Path(root))
    probe = filesystem.join(root, f".doctor-{uuid4().hex[:8]}")
    try:
        filesystem.makedirs(root)
        filesystem.write_atomic(probe, b"probe")
        filesystem.delete(probe)
    finally:
        if not filesystem.is_remote(root):
            made = [path for path in (Path(root), *Path(root).parents) if path != before and before in path.parents]
            for path in made:
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()


def _nearest(path: Path) -> Path:
    """The path, or the first of its parents that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _leftovers(root: str) -> Iterator[Finding]:
    """What interrupted captures and runs left: it counts as nothing, and takes space."""
    for what, depth, last in (("snapshot", 3, snapshots.MANIFEST), ("run", 1, "summary.json")):
        try:
            unfinished = [
                path
                for path in _below(filesystem.join(root, f"{what}s"), depth)
                if not filesystem.exists(filesystem.join(path, last))
            ]
        except ReconError as error:
            yield _wrong("leftovers", str(error), "Grant read permission on the workspace.")
            continue
        if unfinished:
            words = f"{len(unfinished)} unfinished, harmless: {', '.join(unfinished[:3])}"
            yield _fine(f"{what}s", f"{words}{' …' if len(unfinished) > 3 else ''}; delete when nothing is running")


def _below(directory: str, depth: int) -> list[str]:
    """The directories `depth` levels below."""
    found = [directory]
    for _ in range(depth):
        found = [path for each in found for path in filesystem.list_dirs(each)]
    return found


def _fine(check: str, message: str) -> Finding:
    return Finding(check, True, message)


def _wrong(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, False, message, remedy)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
