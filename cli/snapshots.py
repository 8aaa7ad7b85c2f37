"""Commands about snapshots: take, list."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output


@app.command()
def snapshot(
    context: typer.Context,
    systems: Annotated[list[str] | None, typer.Argument(help="Systems, all if none; or `list`.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Capture stock and events of systems; `recon snapshot list` shows what there is."""
    from jobs import commands

    out = Output(json, verbose)
    if systems == ["list"]:
        taken = commands.list_snapshots(config)
    else:
        taken = commands.take_snapshots(config, systems or [], out.progress, context.obj)
    out.progress_done()
    out.result(taken, lambda: commands.snapshots_text(taken))
