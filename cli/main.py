"""The `recon` command: one function a command, everything heavy imported when it runs."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import Output
from reconcilers.errors import ReconError

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
RunOption = Annotated[str | None, typer.Option("--run", help="The run; the latest if not given.")]

DEFAULT = Path("recon.yaml")

_INTERRUPTED = 130


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


@app.command()
def validate(
    systems: Annotated[list[str] | None, typer.Argument(help="Systems, all if none.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check the newest snapshots against their expectations; exit code 3 if a critical one fails."""
    from jobs import commands

    out = Output(json, verbose)
    results = commands.validate(config, systems or [], out.progress)
    out.progress_done()
    out.result(results, lambda: commands.validation_text(results))
    raise typer.Exit(3 if any(result["critical"] for result in results) else 0)


@app.command()
def diff(
    context: typer.Context,
    pairs: Annotated[list[str] | None, typer.Argument(help="Pairs, all if none.")] = None,
    snapshot: Annotated[list[str] | None, typer.Option(help="system=ID or system/dataset=ID.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Reconcile the newest complete snapshots; captures nothing. Exit code 1 beyond the gates."""
    from jobs import commands

    out = Output(json, verbose)
    outcome = commands.diff(config, pairs or [], snapshot or [], out.progress, context.obj)
    _finish(out, outcome)


@app.command()
def run(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="A job of the configuration.")],
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Snapshot, validate, reconcile and report, as the job says. Exit code 1 beyond the gates."""
    from jobs import commands

    out = Output(json, verbose)
    _finish(out, commands.run_job(config, job, out.progress, context.obj))


def _finish(out: Output, outcome: Any) -> None:
    out.progress_done()
    out.result(outcome.summary, outcome.text)
    raise typer.Exit(0 if outcome.within_gates else 1)


@app.command()
def report(
    run: Annotated[str | None, typer.Argument(help="The run; the latest if not given.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the HTML report here.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a run's report again from its data, and say where it is."""
    from jobs import commands

    outcome = commands.report(config, run, output)
    Output(json, verbose).result(outcome.summary, outcome.text)


@app.command()
def explain(
    sku: Annotated[str, typer.Argument(help="The SKU.")],
    location: Annotated[str | None, typer.Argument(help="The location; all if not given.")] = None,
    run: RunOption = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the sum of one key line by line: both numbers, each document in flight, what is left."""
    from jobs import commands

    found = commands.explain(config, sku, location, run)
    Output(json, verbose).result(found.document(), found.text)


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
def runs(config: ConfigPath = DEFAULT, json: Json = False, verbose: Verbose = False) -> None:
    """List the finished runs of the workspace."""
    from jobs import commands

    found = commands.list_runs(config)
    Output(json, verbose).result(found, lambda: commands.runs_text(found))


@app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="The run; the latest if not given.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the verdict of a run."""
    from jobs import commands

    outcome = commands.show(config, run)
    Output(json, verbose).result(outcome.summary, outcome.text)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="The run, or `latest`.")],
    what: Annotated[str, typer.Argument(help="levels, breaks, in_flight or corrections.")],
    format: Annotated[str, typer.Option("--format", help="csv, parquet or jsonl.")] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; stdout if not given.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write an output of a run as one file."""
    from jobs.export import export as write

    rows = write(config, run, what, format, output, sys.stdout.buffer)
    if output is not None:
        Output(json, verbose).result({"rows": rows, "file": str(output)}, lambda: f"{rows:,} rows in {output}")


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


def main() -> None:
    """Run the command; expected errors are told in one place, in one line each.

    What follows `--` goes to Beam as it is.
    """
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    code = _run(arguments[:cut], tuple(arguments[cut + 1 :]))
    sys.stdout.flush()
    sys.stderr.flush()
    if "apache_beam" in sys.modules:
        # Worker threads of a pipeline that failed wait for one another for ever: do not wait for them.
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str], beam_args: tuple[str, ...]) -> int:
    try:
        code = app(arguments, obj=beam_args, standalone_mode=False) or 0
        if code != _INTERRUPTED:
            return code
        lines = ["interrupted"]
    except ReconError as error:
        lines, code = str(error).splitlines(), error.exit_code
    except typer.TyperException as error:
        lines, code = [_usage(error)], 2
    except (KeyboardInterrupt, typer.Abort):
        lines, code = ["interrupted"], _INTERRUPTED
    except BrokenPipeError:
        return 0
    except Exception:
        traceback.print_exc()
        lines, code = ["this is a bug, please report it with the lines above"], 70
    for line in lines:
        print(f"recon: {line}", file=sys.stderr)
    return code


def _usage(error: typer.TyperException) -> str:
    """What was wrong on the command line, and where the help is."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{message} (see recon --help)"


if __name__ == "__main__":
    main()
