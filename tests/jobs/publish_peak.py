"""The peak memory of publishing a run: `python publish_peak.py CONFIG…`, a line each: MiB, and how many were sent.

Everything is imported once; the run `run` of each is published in a fork, told as JSON and as text, and looked at
as the next run does. The peak of a fork begins with what it has of its parent.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import apache_beam  # noqa: F401  before any fork

from jobs import publish
from jobs.config import load
from jobs.publication import open_publication
from jobs.publish_commands import Published
from jobs.published import events_of
from reconcilers.profiles import load as profile


def main(config: Path) -> None:
    publication = open_publication(load(config), "run")
    outcome = publish.apply(publication, "ann", lambda *_: None)
    with Path(os.devnull).open("w") as nowhere:
        json.dump(Published(outcome).document(), nowhere, default=str)
        nowhere.writelines(Published(outcome).lines(verbose=True))
    for _ in events_of(publication.workspace, "shop", profile("storefront.available"), 4, datetime.now(UTC)):
        pass
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
    sys.stdout.write(f"{peak} {sum(outcome.counts.values())}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        child = os.fork()
        if child == 0:
            main(Path(each))
            os._exit(0)
        os.waitpid(child, 0)
