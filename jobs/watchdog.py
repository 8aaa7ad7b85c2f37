"""The watchdog of a pause: a process of its own that resumes when the one that paused no longer can.

    python -m jobs.watchdog WORKSPACE JOB TOKEN UNTIL BY     (stdin: a pipe that the pausing process holds)

It waits until it is dismissed, until the pipe is cut, which is when that process has ended, or until the
maximum is over. For a pause by hand only the latter counts. It imports nothing heavy before it has to act.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.pause_state import Paused

#: What the pausing process writes when it has resumed everything itself.
DISMISSED = b"."

#: Seconds between two looks whether what is paused was resumed by hand.
_LOOK_SECONDS = 5.0

#: Seconds between two attempts at a consumer that does not answer, and how many there are: an hour in all.
_AGAIN_SECONDS, _ATTEMPTS = 30.0, 120


def main() -> None:
    """Wait, then look whether there is something left to resume."""
    workspace, job, token, until, by = sys.argv[1:]
    state_file = None if "://" in workspace else Path(workspace, "paused", f"{job}.json")
    why = _wait(float(until), watch=by == "run", state_file=state_file)
    if why is None:
        return
    from jobs import pause_state

    state = pause_state.read(workspace, job)
    if state is not None and state.token == token:
        _tell(state, f"{why}; {_resumed(state, workspace)}")


def _wait(until: float, watch: bool, state_file: Path | None) -> str | None:
    """Why there is something to do, in words; None where somebody else has resumed."""
    while (left := until - time.time()) > 0:
        # in short pieces, as the clock of a machine that slept jumps
        ready, _, _ = select.select([sys.stdin.fileno()] if watch else [], [], [], min(left, _LOOK_SECONDS))
        if ready:
            return None if os.read(sys.stdin.fileno(), 1) == DISMISSED else "the run that paused ended without resuming"
        if state_file is not None and not state_file.exists():
            return None
    return "the pause lasted too long"


def _resumed(state: Paused, workspace: str) -> str:
    """Try until everything is resumed; what came of it, in words."""
    from jobs import pause_state
    from reconcilers.errors import ReconError

    problem = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(_AGAIN_SECONDS if attempt else 0)
        try:
            now = pause_state.read(workspace, state.job)
            if now is not None and now.token == state.token:
                now.resume(workspace)
        except ReconError as error:
            problem = str(error)
        else:
            return "resumed by the watchdog"
    return problem


def _tell(state: Paused, words: str) -> None:
    """Tell whom the job tells of its runs."""
    from jobs import notify
    from jobs.config import load
    from reconcilers.errors import ReconError

    try:
        config = load(Path(state.config))
    except ReconError:
        return  # the configuration is gone or broken: what was paused is resumed all the same
    notify.tell(config, notify.Event("pause", state.job, words), lambda message, share=None: None)


if __name__ == "__main__":
    main()
