"""Commands about what recon knows: profiles, connectors, worked cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import Json, Verbose, app
from cli.output import Output


@app.command(name="test")
def test_cases(
    files: Annotated[list[Path], typer.Argument(help="Files of worked cases, JSON Lines.")],
    config: Annotated[Path | None, typer.Option("-c", "--config", help="For the user's own profiles.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run worked cases against the profiles, as unit tests of a configuration; exit code 1 if one fails."""
    from jobs import commands

    outcomes = commands.run_cases(files, config)
    Output(json, verbose).result(commands.cases_document(outcomes), lambda: commands.cases_text(outcomes))
    raise typer.Exit(0 if all(outcome.passed for outcome in outcomes) else 1)


@app.command()
def profiles(
    action: Annotated[str, typer.Argument(help="`list`, or `show`.")] = "list",
    name: Annotated[str | None, typer.Argument(help="The profile to show.")] = None,
    config: Annotated[Path | None, typer.Option("-c", "--config", help="For the user's own profiles.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the effect profiles, or explain one in words."""
    from jobs import commands

    found = commands.profiles(action, name, config)
    Output(json, verbose).result(found, lambda: commands.profiles_text(found, name))


@app.command()
def connectors(
    name: Annotated[str | None, typer.Argument(help="The connector to show.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the connectors with their options and an example."""
    from jobs import commands

    found = commands.connectors(name)
    Output(json, verbose).result(found, lambda: commands.connectors_text(found))
