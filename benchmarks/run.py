"""`make bench`: recon against the raw DuckDB statement, in one run, as ratios."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import steps
from benchmarks.generate import generate
from benchmarks.measure import Measured, measured


def main() -> None:
    """Generate, run each contender in a process of its own, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="stock rows a side")
    parser.add_argument("--repeat", type=int, default=2, help="the best of so many runs counts")
    parser.add_argument("--directory", type=Path, default=None, help="where to keep the data")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as scratch:
        directory = (arguments.directory or Path(scratch)) / str(arguments.rows)
        print(f"{arguments.rows:,} stock rows a side, {arguments.rows // 5:,} order lines, Parquet")
        compare(directory, arguments.rows, arguments.repeat)


def compare(directory: Path, rows: int, repeat: int) -> None:
    """Run all contenders over the same exports."""
    paths = generate(directory, rows)
    workspace, output = directory / "workspace", directory / "run"
    raw = measured(steps.raw, paths, directory / "raw.parquet", repeat=repeat)
    show("raw DuckDB statement", raw, raw)
    capture = measured(steps.take_snapshots, paths, workspace, repeat=repeat)
    show("capture", capture, raw)
    validation(directory, workspace, capture, raw, repeat)
    diff = measured(steps.diff, workspace, output, repeat=repeat)
    show("diff", diff, raw)
    if diff.result != raw.result:
        raise SystemExit(f"diff has {diff.result:,} keys, the raw statement {raw.result:,}")
    show("whole job", measured(steps.whole_job, paths, directory / "job", output, repeat=repeat), raw)


def validation(directory: Path, workspace: Path, capture: Measured, raw: Measured, repeat: int) -> None:
    """What validating costs beside capturing, and what Great Expectations' pandas engine takes for the same."""
    validated = measured(steps.validate, workspace, directory / "validated", repeat=repeat)
    show("validate", validated, raw)
    print(f"{'':<22} {validated.seconds / capture.seconds:6.2f} x capture")
    ours = measured(steps.validate_stock, workspace, directory / "validated", repeat=repeat)
    theirs = measured(steps.validate_with_pandas, workspace, repeat=repeat)
    show("stock suite", ours, ours)
    show("  with GX on pandas", theirs, ours)


def show(name: str, run: Measured, baseline: Measured) -> None:
    """One line: how many times the baseline, and the peak memory of its process."""
    print(f"{name:<22} {run.seconds / baseline.seconds:6.2f} x   {run.peak_mib:7.0f} MiB peak", flush=True)


if __name__ == "__main__":
    main()
