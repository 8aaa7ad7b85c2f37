"""Commands that put the jobs somewhere else: the files for Google Cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output


@app.command()
def deploy(
    directory: Annotated[
        Path | None, typer.Argument(help="Where to write; `deploy` beside the configuration if not given.")
    ] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write what Google Cloud needs to run the jobs: image, Flex Template, Terraform, a DAG for Composer."""
    from jobs.deploy import deploy as write

    files = write(config, directory)
    Output(json, verbose).result({"files": files}, lambda: "\n".join(["wrote:", *files, "next: docs/deploy.md"]))
