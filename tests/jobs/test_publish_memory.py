"""Publishing does not need more memory for more corrections."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from published_runs import configuration, correction, finished

HERE = Path(__file__).parent

#: Held as a whole, a correction takes four kilobytes: 20,000 of them would be twice as much.
FEW, MANY, MIB = 5_000, 25_000, 40


def test_four_times_the_corrections_need_no_more_memory(tmp_path):
    configs = []
    for number in (FEW, MANY):
        root = tmp_path / str(number)
        root.mkdir()
        configs.append(configuration(root, {"connector": "files", "path": "outbox", "batch": 1000}))
        finished(configs[-1], [correction("run", n, 10, 7) for n in range(number)], "run")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, str(HERE / "publish_peak.py"), *map(str, configs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    (few, sent), (many, sent_of_many) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (sent, sent_of_many) == (FEW, MANY)
    assert many - few < MIB, (few, many)
