"""Commands about data quality: validate, suggest expectations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output

expectations = typer.Typer(name="expectations", help="Suites of expectations.", no_args_is_help=True)
app.add_typer(expectations)


@app.command()
def validate(
    context: typer.Context,
    systems: Annotated[
        list[str] | None, typer.Argument(help="Systems, all if none; or one CSV or Parquet file with --suite.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(help="For a file: a suite that Great Expectations saved, or a Python file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="For a file: write results, pages and failing rows here.")
    ] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check the newest snapshots, or a file, against their expectations; exit code 3 if a critical one fails."""
    from jobs import ad_hoc, commands

    out = Output(json, verbose)
    if suite is not None or output is not None:
        outcome = ad_hoc.validate_file(systems or [], suite, output, context.obj)
    else:
        outcome = commands.validate(config, systems or [], out.progress, context.obj)
    out.progress_done()
    out.result(outcome.results, outcome.text)
    raise typer.Exit(3 if any(result["critical"] for result in outcome.results) else 0)


@expectations.command()
def suggest(
    system: Annotated[str, typer.Argument(help="The system whose snapshots are profiled.")],
    dataset: Annotated[
        str, typer.Option(help="Its dataset: stock, events, events-2, …, or one of records or orders.")
    ] = "stock",
    last: Annotated[int, typer.Option(min=1, help="How many of the last snapshots.")] = 5,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the suite here, as JSON.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Learn a suite from the last snapshots: bounds around what was seen, each with the reason, to be reviewed."""
    from jobs.suggest import suggest as learn

    found = learn(config, system, dataset, last, output)
    Output(json, verbose).result(found.document, found.text)
