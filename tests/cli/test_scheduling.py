"""`recon schedule` as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime

import pytest
from shell import recon

SCHEDULE = 'schedule: {cron: "15 2 * * *", timezone: Europe/Berlin, window: "01:00-05:00", blackout: [2026-11-27]}'


@pytest.fixture
def shop(tmp_path):
    assert recon("init", ".", at=tmp_path).code == 0
    path = tmp_path / "recon.yaml"
    text = path.read_text()
    assert f"# {SCHEDULE}" in text
    path.write_text(text.replace(f"# {SCHEDULE}", SCHEDULE))
    return tmp_path


def test_list_and_next(shop):
    (row,) = recon("schedule", "list", "--json", at=shop).json
    assert (row["job"], row["window"], row["last"]) == ("nightly", "01:00-05:00", None)
    fires = recon("schedule", "next", "nightly", "-n", "400", "--json", at=shop).json
    assert len(fires) == 400
    assert all(datetime.fromisoformat(fire["start"]).strftime("%H:%M") in ("02:15", "03:00") for fire in fires)
    assert "nightly" in recon("schedule", "next", at=shop).out


def test_start_says_why_it_cannot(shop):
    done = recon("schedule", "start", at=shop)
    assert (done.code, len(done.told)) == (2, 1)
    assert "now: fixes the instant of every run" in done.told[0]
    done = recon("schedule", "suggest", "nightly", at=shop)
    assert (done.code, len(done.told)) == (2, 1)
    assert "span 0 days" in done.told[0]


def test_start_runs_until_sigterm_and_ends_with_0(shop):
    path = shop / "recon.yaml"
    path.write_text("".join(line for line in path.open() if not line.startswith("now:")))
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "schedule", "start", "--log-json"],
        cwd=shop,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert '"message": "scheduler started"' in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 0
    assert '"message": "scheduler stopped"' in said
