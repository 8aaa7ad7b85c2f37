"""The command that compares two sets of records without a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import Json, Verbose, app
from cli.output import Output


@app.command()
def compare(
    left: Annotated[str, typer.Argument(help="A file, a glob in quotes, or URL#TABLE: CSV, Parquet, SQL, BigQuery.")],
    right: Annotated[str, typer.Argument(help="What it is compared with.")],
    key: Annotated[list[str], typer.Option("-k", "--key", help="The columns that name a record: sku,location.")],
    tolerance: Annotated[
        list[str] | None, typer.Option(help="COLUMN=0.01 or COLUMN=1%; COLUMN=0 compares text by value.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Columns that are not compared.")] = None,
    renamed: Annotated[
        list[str] | None, typer.Option("--map", metavar="LEFT=RIGHT", help="What the right side calls a column.")
    ] = None,
    duplicates: Annotated[
        str, typer.Option(help="A key twice on a side: `pair` equal copies first, `refuse`, or `aggregate`.")
    ] = "pair",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write every difference: .parquet, .csv or .jsonl.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML file.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write it as JUnit XML for a build server.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare two files, globs or tables by key, field by field; exit code 1 if anything differs."""
    from jobs.compare import Asked
    from jobs.compare import compare as run
    from reports import comparison

    asked = Asked(
        left, right, tuple(key), tuple(tolerance or ()), tuple(ignore or ()), tuple(renamed or ()), duplicates,
        output, html, junit,
    )  # fmt: skip
    report = run(asked)
    Output(json, verbose).result(report.document(), lambda: comparison.text(report))
    raise typer.Exit(0 if report.same else 1)
