"""The demo's night on other engines: what they write is what the run in process writes, byte for byte.

`make test-engines` runs these; each needs a program that is no Python package (docs/engines.md).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobs import commands
from jobs.demo import run_demo
from jobs.run import silent
from pipelines.execution import LOCAL
from pipelines.reconcile import OUTPUTS
from reconcilers.errors import ConfigError

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the demo, beside its exports."""
    directory = tmp_path_factory.mktemp("night") / "workspace"
    run_demo(directory, 7, silent)
    return directory / "recon.yaml"


def run_twice(config: Path, engine: tuple[str, ...]) -> dict[str, bytes]:
    """What two runs of an empty workspace write; the second judges the age of what the first found.

    The place is always the same, because the snapshots name the files that they come from.
    """
    for name in ("runs", "snapshots"):
        shutil.rmtree(config.parent / name, ignore_errors=True)
    for _ in range(2):
        commands.run_job(config, "nightly", silent, engine)
    return files_of(config.parent)


def files_of(workspace: Path) -> dict[str, bytes]:
    """Every data file, by a name without the id of its snapshot: the ids are drawn at random."""
    snapshots = sorted(path for path in workspace.glob("snapshots/*/*/*") if path.is_dir())
    counts: Counter[str] = Counter()
    found = {}
    for snapshot in snapshots:
        dataset = f"{snapshot.parts[-3]}/{snapshot.parts[-2]}"
        counts[dataset] += 1
        for part in snapshot.glob("part-*.parquet"):
            found[f"{dataset}/{counts[dataset]}/{part.name}"] = part.read_bytes()
    runs = [*workspace.glob("runs/*/*/*.parquet"), *workspace.glob("runs/*/validation/buckets/*.json")]
    return found | {str(path.relative_to(workspace)): path.read_bytes() for path in runs}


@pytest.fixture(scope="module")
def expected(night: Path) -> dict[str, bytes]:
    """What the runs in process write: every output, and parts of every snapshot."""
    found = run_twice(night, ())
    assert all(any(f"/{output}/" in name for name in found) for output in OUTPUTS)
    assert any(name.startswith("erp/stock/") for name in found)
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def answers(port: int, deadline: float) -> None:
    """Return as soon as something listens on the port."""
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.fail(f"nothing listens on port {port}")


@pytest.fixture(scope="module")
def prism() -> tuple[str, ...]:
    program = os.environ.get("RECON_PRISM", "")
    if not Path(program).is_file():
        pytest.skip(f"RECON_PRISM={program} is no prism program; `make test-engines` builds one")
    return ("--runner=PrismRunner", f"--prism_location={program}")


@pytest.fixture(scope="module")
def flink() -> tuple[str, ...]:
    jar = os.environ.get("RECON_FLINK_JAR", "")
    if not Path(jar).is_file():
        pytest.skip(f"RECON_FLINK_JAR={jar} is no job server; `make test-engines` fetches one where Maven has it")
    return ("--runner=FlinkRunner", f"--flink_job_server_jar={jar}", "--flink_master=[local]", "--parallelism=2")


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[str, ...]]:
    """A pool that starts each worker as a process of its own, as a cluster does."""
    port = free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with subprocess.Popen(command) as pool:
        try:
            answers(port, time.monotonic() + 60)
            yield ("--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{port}")
        finally:
            pool.terminate()


ENGINES = {
    "prism": ["prism"],
    "prism, workers of their own": ["prism", "workers"],
    "flink": ["flink"],
    "flink, workers of their own": ["flink", "workers"],
    "in process, workers of their own": [],
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> tuple[str, ...]:
    named = [option for fixture in ENGINES[request.param] for option in request.getfixturevalue(fixture)]
    return tuple(named) or (LOCAL[0], "--direct_running_mode=multi_processing", "--direct_num_workers=2")


def test_an_engine_writes_what_the_run_in_process_writes(
    engine: tuple[str, ...], night: Path, expected: dict[str, bytes]
) -> None:
    found = run_twice(night, engine)
    assert sorted(found) == sorted(expected)
    assert [name for name in sorted(found) if found[name] != expected[name]] == []


def test_an_expected_error_of_a_worker_arrives_as_itself(engine: tuple[str, ...], night: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(night.parent, workspace)
    (export,) = workspace.glob("exports/erp/bestand_*.csv")
    text = export.read_text(encoding="utf-8")
    export.write_text(text.replace("Bestand", "Menge", 1), encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        commands.run_job(workspace / "recon.yaml", "nightly", silent, engine)
    assert str(told.value).startswith("erp/stock: ")
    assert "\n" not in str(told.value)
