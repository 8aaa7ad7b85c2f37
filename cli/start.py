"""Commands for a beginning: the demo, a first configuration, a look at what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Where to make the demo's workspace.")] = Path("recon-demo"),
    seed: Annotated[int, typer.Option(help="Another seed is another week with other faults.")] = 7,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Replay real order lines with a few faults seeded, reconcile, and show that they are found."""
    from jobs.demo import run_demo

    out = Output(json, verbose)
    outcome = run_demo(directory, seed, out.progress)
    out.progress_done()
    out.result(outcome.document(), outcome.text)
    raise typer.Exit(0 if outcome.exact else 70)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write the files.")] = Path(),
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write a commented recon.yaml with tiny sample exports; it runs as it stands."""
    from jobs.init import init as write

    files = [str(path) for path in write(directory)]
    Output(json, verbose).result({"files": files}, lambda: "\n".join(["wrote:", *files, "next: recon run nightly"]))


@app.command()
def doctor(config: ConfigPath = DEFAULT, json: Json = False, verbose: Verbose = False) -> None:
    """Check configuration, sources, workspace and environment, and say what to do."""
    from dataclasses import asdict

    from jobs.doctor import examine

    findings = examine(config)
    Output(json, verbose).result(
        [asdict(finding) for finding in findings],
        lambda: "\n".join(
            f"{'ok  ' if f.ok else 'FAIL'} {f.check}: {f.message}"
            + (f"\n       {f.remedy}" if not f.ok and f.remedy else "")
            for f in findings
        ),
    )
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 2)
