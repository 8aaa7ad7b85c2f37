"""The command line application, and the options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="recon",
    help="Find where the copies of your stock disagree, which part is only orders on their way, "
    "and what each system should be told instead.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path, typer.Option("-c", "--config", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log to stderr as JSON, one object a line.")]
RunOption = Annotated[str | None, typer.Option("--run", help="The run; the latest if not given.")]

DEFAULT = Path("recon.yaml")
