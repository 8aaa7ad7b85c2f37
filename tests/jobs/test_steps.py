"""A run that is killed in every state, and taken up again; one that is stopped, and one on a full disk."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import forked
import nights
import pyarrow.parquet as pq
import pytest

from jobs import lifecycle
from jobs.config import load
from jobs.init import init
from jobs.run_state import all_states, read_state
from jobs.workspace import Workspace
from pipelines import snapshots
from reconcilers.errors import ConfigError, Unreachable

#: Where the run is killed, one after the other, and the state that it is in then.
POINTS = {
    "after plan.json": ("PLANNED", "capture"),
    "before captured.json": ("PLANNED", "capture"),
    "after captured.json": ("CAPTURED", "validate"),
    "before validated.json": ("CAPTURED", "validate"),
    "after validated.json": ("VALIDATED", "reconcile"),
    "before summary.json": ("VALIDATED", "reconcile"),
    "after summary.json": ("RECONCILED", None),
    "after delivered.json": ("RECONCILED", None),
}


@pytest.fixture
def shop(tmp_path):
    init(tmp_path)
    return tmp_path / "recon.yaml"


def outputs(directory):
    """Every row that a run wrote, without the names of runs."""
    found = {}
    for name in ("levels", "breaks", "closed", "in_flight", "corrections"):
        for path in sorted(Path(directory, name).glob("*.parquet")):
            rows = pq.read_table(path).to_pylist()
            found[name, path.name] = [{k: v for k, v in row.items() if not k.endswith("_run")} for row in rows]
    return found


def without_feeds(summary):
    """What a run found, without the names of the snapshots that it was captured into."""
    return {name: {**pair, "feeds": len(pair["feeds"])} for name, pair in summary["pairs"].items()}


def test_killed_in_every_state_it_goes_on_and_ends_like_an_undisturbed_run(shop):
    config = load(shop)
    workspace = Workspace(str(config.workspace))
    for number, (point, state) in enumerate(POINTS.items()):
        process = forked.start(nights.run, shop, "nightly", number > 0, point)
        assert forked.wait(process) == -signal.SIGKILL, point
        (run_id,) = workspace.run_ids()
        found = read_state(workspace, run_id)
        assert (found.state, found.step, found.error) == (*state, None)
    summary = lifecycle.run_job(config, "nightly", resume=True)
    assert summary["run_id"] == run_id

    # Captured twice, for the first capture was not written down; the buckets of the reconciliation once.
    assert len(snapshots.list_snapshots(workspace.root, "erp", "stock")) == 2
    other = shop.parent / "undisturbed"
    init(other)
    undisturbed = lifecycle.run_job(load(other / "recon.yaml"), "nightly")
    assert without_feeds(undisturbed) == without_feeds(summary)
    assert undisturbed["verdict"] == summary["verdict"]
    # The attempt that was killed before the summary had finished the bucket: it was not done again.
    assert undisturbed["counters"]["reconcile_part.keys"] == 6
    assert "reconcile_part.keys" not in summary["counters"]
    assert outputs(workspace.run_directory(run_id)) == outputs(other / ".recon" / "runs" / undisturbed["run_id"])
    with lifecycle.opened(config) as ledger:
        (state,) = all_states(workspace, ledger)
    assert (state.state, state.keys, state.faults) == ("RECONCILED", 6, 1)


def test_resuming_needs_a_run_and_the_same_configuration(shop):
    with pytest.raises(ConfigError, match="has no run yet"):
        lifecycle.run_job(load(shop), "nightly", resume=True)
    assert forked.wait(forked.start(nights.run, shop, "nightly", False, "after plan.json")) == -signal.SIGKILL
    shop.write_text(shop.read_text().replace("safety_stock: 2", "safety_stock: 3"))
    with pytest.raises(ConfigError, match="configuration has changed"):
        lifecycle.run_job(load(shop), "nightly", resume=True)


def test_a_full_disk_fails_the_step_and_room_lets_it_go_on(shop):
    disk = shop.parent / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        shop.write_text(shop.read_text().replace("workspace: .recon", f"workspace: {disk}/recon"))
        assert forked.wait(forked.start(nights.run, shop, "nightly", False, None)) == Unreachable.exit_code
        assert re.search("[Nn]o space|disk is full", shop.with_name("told").read_text())
        assert not list(disk.glob("recon/runs/*/summary.json"))
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        planned = list(disk.glob("recon/runs/*/plan.json"))
        summary = lifecycle.run_job(load(shop), "nightly", resume=bool(planned))
        assert summary["pairs"]["storefront~erp"]["keys"] == 6
    finally:
        subprocess.run(["umount", disk], check=True)
        shutil.rmtree(disk)
