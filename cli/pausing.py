"""Commands about pauses: stop the consumers of a job by hand, let them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output


@app.command()
def pause(
    job: Annotated[str, typer.Argument(help="A job of the configuration.")],
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Pause the consumers of a job until `recon resume`, or until their maximum is over."""
    from jobs.pause import pause_by_hand

    out = Output(json, verbose)
    done = pause_by_hand(config, job, out.progress)
    out.progress_done()
    out.result(done, lambda: "\n".join([*(f"paused {name}" for name in done["paused"]), f"until {done['until']}"]))


@app.command()
def resume(
    job: Annotated[str | None, typer.Argument(help="The job; every job if not given.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Resume what is paused, by hand or by a run that was interrupted; exit code 4 if something stays paused."""
    from jobs.pause import resume as go_on

    done = go_on(config, job)
    lines = [f"{each['job']}: {each['resumed']} resumed, paused since {each['since']}" for each in done]
    Output(json, verbose).result(done, lambda: "\n".join(lines) or "nothing is paused")
