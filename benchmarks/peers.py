"""`make bench-peers`: `recon compare` beside other record diffs and one raw DuckDB statement, in one run.

Each tool has an environment of its own and is run as its command line, a process a run; two key columns,
Parquet, exact comparison. `recon -o` and the raw statement write every difference to a file, the others
(and `recon` without it) report counts and samples. fastrecon tries to install DuckDB extensions on each
start, which takes seconds where there is no network: what it waits for in a comparison of a single row
is taken off its time.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import measured

KEYS = ("sku", "location")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recon-peers"

#: What is installed for each, and its command.
PEERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fastrecon": (
        ("fastrecon",),
        ("fastrecon", "compare", "--left", "parquet:{a}", "--right", "parquet:{b}", "--keys", "sku,location"),
    ),
    "datacompy (polars)": (
        ("datacompy", "polars", "pyarrow"),
        ("datacompy", "compare", "--backend", "polars", "--left", "{a}", "--right", "{b}", "--on", "sku,location"),
    ),
    "diffly": (
        ("diffly", "typer", "polars", "pyarrow"),
        ("diffly", "{a}", "{b}", "--primary-key", "sku", "--primary-key", "location", "--rel-tol", "0"),
    ),
}

_RECORDS = """
copy (
    select 'SKU-' || lpad((i // 4)::varchar, 9, '0') as sku, 'LOC-' || (i % 4)::varchar as location, {values}
    from range({rows}) t(i)
    order by hash(i, {seed})
) to '{path}' (format parquet, compression zstd)"""

_RAW = """
copy (
    select coalesce(a.sku, b.sku) as sku, coalesce(a.location, b.location) as location, {values}
    from '{a}' a full join '{b}' b on a.sku = b.sku and a.location = b.location
    where a.sku is null or b.sku is null or {differ}
) to '{output}' (format parquet, compression zstd)"""


@dataclass(frozen=True)
class Run:
    """What one process took."""

    seconds: float
    cpu: float
    peak_mib: float


def main() -> None:
    """Generate, install, run every tool on every data set, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows a side with one value column")
    parser.add_argument("--wide-rows", type=int, default=None, help="rows a side with 20 (half as many)")
    parser.add_argument("--shares", default="0,0.001,0.05,0.5", help="shares of the rows that differ")
    parser.add_argument("--repeat", type=int, default=2, help="the best of so many runs counts")
    parser.add_argument("--without-peers", action="store_true", help="only recon and the raw statement")
    arguments = parser.parse_args()
    peers = {} if arguments.without_peers else {name: _installed(name) for name in PEERS}
    shares = [float(share) for share in arguments.shares.split(",")]
    cases = [(arguments.rows, 1, share) for share in shares]
    cases.append((arguments.wide_rows or arguments.rows // 2, 20, 0.001))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}")
    with tempfile.TemporaryDirectory(prefix="recon-peers-") as scratch:
        waits = _waits(peers, Path(scratch))
        for rows, columns, share in cases:
            print(f"\n{rows:,} rows a side, {columns} value column{'s' if columns > 1 else ''}, {share:.1%} differ")
            _table(_contenders(Path(scratch), peers, rows, columns, share), arguments.repeat, waits)


def _table(contenders: Mapping[str, list[str]], repeat: int, waits: Mapping[str, float]) -> None:
    baseline: Run | None = None
    for name, command in contenders.items():
        best = min((_timed(command) for _ in range(repeat)), key=lambda run: run.cpu)
        baseline = baseline or best
        seconds = best.seconds - waits.get(name, 0)
        print(
            f"  {name:<20} {seconds:7.2f} s {seconds / baseline.seconds:6.2f} x   "
            f"cpu {best.cpu:7.2f} s {best.cpu / baseline.cpu:6.2f} x   {best.peak_mib:6.0f} MiB",
            flush=True,
        )


def _timed(command: list[str]) -> Run:
    """Run a command; an exit code of 0 or 1 is an answer."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        stderr = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}: {stderr.decode()[-500:]}")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _contenders(
    scratch: Path, peers: Mapping[str, Path], rows: int, columns: int, share: float
) -> dict[str, list[str]]:
    """The commands over one data set, the raw statement first."""
    paths = _generate(scratch / f"{rows}-{columns}-{share}", rows, columns, share)
    raw = _RAW.format(
        **paths,
        output=scratch / "raw.parquet",
        values=", ".join(f"a.v{n} as a{n}, b.v{n} as b{n}" for n in range(columns)),
        differ=" or ".join(f"a.v{n} is distinct from b.v{n}" for n in range(columns)),
    )
    recon = [sys.executable, "-m", "cli.main", "compare", paths["a"], paths["b"], "--key", ",".join(KEYS)]
    found = {
        "raw DuckDB statement": [sys.executable, "-c", f"import duckdb; duckdb.execute({raw!r}).fetchall()"],
        "recon compare": recon,
        "recon compare -o": [*recon, "-o", str(scratch / "recon.parquet")],
    }
    for name, environment in peers.items():
        program, *options = PEERS[name][1]
        found[name] = [str(environment / "bin" / program), *(option.format(**paths) for option in options)]
    return found


def _generate(directory: Path, rows: int, columns: int, share: float) -> dict[str, str]:
    """Two files in different orders; each row that differs does so in one of its columns."""
    directory.mkdir(parents=True)
    paths = {side: str(directory / f"{side}.parquet") for side in ("a", "b")}
    for side, changed in (("a", 0.0), ("b", share)):
        values = ", ".join(
            f"(hash(i, {n}) % 1000 + if(hash(i, 77) % 1000000 < {changed * 1_000_000:.0f} "
            f"and hash(i, 78) % {columns} = {n}, 1, 0))::{'varchar' if n % 2 else 'decimal(18, 4)'} as v{n}"
            for n in range(columns)
        )
        # elsewhere: the memory of a process counts as that of the commands that it starts
        measured(_execute, _RECORDS.format(values=values, rows=rows, seed=ord(side), path=paths[side]))
    return paths


def _execute(statement: str) -> None:
    import duckdb

    duckdb.execute(statement).fetchall()


def _installed(name: str) -> Path:
    """The environment of a peer, made on first use."""
    packages, (program, *_) = PEERS[name]
    environment = CACHE / packages[0]
    if not (environment / "bin" / program).exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    return environment


def _waits(peers: Mapping[str, Path], scratch: Path) -> dict[str, float]:
    """The seconds that fastrecon waits for a network in a comparison of one row."""
    if "fastrecon" not in peers:
        return {}
    tiny = _contenders(scratch, {"fastrecon": peers["fastrecon"]}, 1, 1, 0.0)["fastrecon"]
    runs = [_timed(tiny) for _ in range(2)]
    wait = max(0.0, min(run.seconds - run.cpu for run in runs))
    print(f"fastrecon waits {wait:.1f} s for the network; taken off")
    return {"fastrecon": wait}


if __name__ == "__main__":
    main()
