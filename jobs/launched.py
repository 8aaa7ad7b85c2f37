"""What a Dataflow job does: one pipeline of a run, on work that the run wrote into the workspace.

The image's entry point for Flex Templates is `main`. The launcher never reads the work, and the job's graph
names only where it is: so the graph stays small, and secrets are looked up by the workers themselves.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jobs.sealed import unseal
from pipelines import filesystem
from pipelines.capture import capture_split
from pipelines.execution import Verb, call_each
from pipelines.reconcile import reconcile_part
from pipelines.validate import answer_partition, list_bucket, measure_bucket

#: The pipelines of a run by the name that the template knows them by.
PIPELINES: dict[str, Verb] = {
    "capture": capture_split,
    "validate": measure_bucket,
    "count": answer_partition,
    "list": list_bucket,
    "reconcile": reconcile_part,
}

#: The image names itself here, so that the workers run what launched them.
IMAGE = "RECON_IMAGE"


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the pipeline that the template's parameters name; every other argument is Beam's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--pipeline", choices=PIPELINES, required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--calls", type=int, required=True)
    asked, beam_args = parser.parse_known_args(arguments)
    if IMAGE in os.environ:
        beam_args.append(f"--sdk_container_image={os.environ[IMAGE]}")
    calls = [(asked.pipeline, asked.work, number) for number in range(asked.calls)]
    # A launcher is done when its job is: what follows the job is the run that asked for it.
    call_each(call_one, calls, (*beam_args, "--no_wait_until_finish"))


def call_one(pipeline: str, work: str, number: int) -> None:
    """Do one piece of the work of a pipeline, on a worker."""
    PIPELINES[pipeline](*_calls(work)[number])


@lru_cache(maxsize=1)
def _calls(work: str) -> list[tuple[Any, ...]]:
    """All work of the job: read once a process, and shared by its threads."""
    with filesystem.open_read(work) as file:
        calls: list[tuple[Any, ...]] = unseal(file.read())
    return calls
