"""Commands about runs: reconcile, show, explain, export."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.app import DEFAULT, ConfigPath, Json, LogJson, RunOption, Verbose, app
from cli.output import Output


class Engine(StrEnum):
    """Where the pipelines of a run run."""

    here = "here"
    dataflow = "dataflow"


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
    on: Annotated[Engine, typer.Option("--on", help="Where the pipelines run.")] = Engine.here,
    wait: Annotated[bool, typer.Option("--wait", help="With dataflow: lead the run from here, to its end.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the job's last run where it ended.")] = False,
    as_of: Annotated[str | None, typer.Option(help="Judge as of an instant, from the snapshots of then.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    log_json: LogJson = False,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Snapshot, validate, reconcile and report, as the job says. Exit code 1 beyond the gates.

    On dataflow each pipeline is a Dataflow job; without --wait the deployed Cloud Run job leads the run.
    """
    from jobs import commands, scheduling

    out = Output(json, verbose)
    if dry_run:
        found = scheduling.dry_run(config, job, resume, as_of)
        out.result(found, lambda: scheduling.dry_run_text(found))
        return
    _start_log(log_json)
    if on is Engine.dataflow:
        if not wait and (resume or as_of):
            raise typer.BadParameter("--resume and --as-of are for a run that is led from here: add --wait")
        _run_on_dataflow(out, config, job, wait, context.obj, resume, as_of)
    elif wait:
        raise typer.BadParameter("--wait belongs to --on dataflow")
    else:
        _finish(out, commands.run_job(config, job, out.progress, context.obj, resume, as_of))


def _run_on_dataflow(
    out: Output, config: Path, job: str, wait: bool, beam_args: tuple[str, ...], resume: bool, as_of: str | None
) -> None:
    from jobs import dataflow

    if wait:
        _finish(out, dataflow.run_job(config, job, out.progress, beam_args, resume, as_of))
        return
    if beam_args:
        raise typer.BadParameter("what follows -- is for the jobs of a run that is led from here: add --wait")
    started = dataflow.start(config, job)
    out.result(started, lambda: f"started {started['execution']} of {started['job']}")


@app.command()
def replay(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="A job of the configuration.")],
    since: Annotated[
        str | None, typer.Option("--from", help="The first instant; the oldest capture if not given.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The last instant; the newest capture if not given.")
    ] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run a job again over its stored snapshots, once for every capture, as if it were then."""
    from jobs import scheduling

    out = Output(json, verbose)
    summaries = scheduling.replay(config, job, since, until, out.progress, context.obj)
    out.progress_done()
    out.result(summaries, lambda: scheduling.replay_text(summaries))


@app.command()
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it, only say what would be.")] = False,
    pin: Annotated[str | None, typer.Option(help="Keep this run and its snapshots, whatever their age.")] = None,
    unpin: Annotated[str | None, typer.Option(help="Let this run go by its age again.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Delete runs and snapshots that are past their retention and that nothing needs."""
    from jobs import retention

    found = retention.gc(config, apply, pin, unpin)
    Output(json, verbose).result(found.document(), found.text)


def _start_log(as_json: bool) -> None:
    if as_json:
        from jobs import logs

        logs.start("json")


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
    sku: Annotated[str, typer.Argument(help="The SKU, or the reference of an order.")],
    location: Annotated[str | None, typer.Argument(help="The location; all if not given.")] = None,
    run: RunOption = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the sum of one key line by line, or one order as both systems have it."""
    from jobs.explain import explain as explained

    found = explained(config, sku, location, run)
    Output(json, verbose).result(found.document(), found.text)


@app.command()
def runs(config: ConfigPath = DEFAULT, json: Json = False, verbose: Verbose = False) -> None:
    """List the runs of the workspace, where each stands, and why it failed if it did."""
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
    what: Annotated[str, typer.Argument(help="levels, breaks, in_flight, corrections, differences; or outputs.")],
    pair: Annotated[str | None, typer.Option(help="Of one pair only.")] = None,
    format: Annotated[str, typer.Option("--format", help="csv, parquet or jsonl.")] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; stdout if not given.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write an output of a run as one file; `outputs` sends the run to the outputs of the configuration again."""
    from jobs.export import export as write
    from jobs.export import send

    if what == "outputs":
        sent = send(config, run)
        Output(json, verbose).result(
            sent, lambda: "\n".join(f"{name}: {sum(n.values()):,} rows" for name, n in sent.items())
        )
        return
    rows = write(config, run, what, format, output, sys.stdout.buffer, pair)
    if output is not None:
        Output(json, verbose).result({"rows": rows, "file": str(output)}, lambda: f"{rows:,} rows in {output}")
