"""Commands about schedules: list, next, start, suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import DEFAULT, ConfigPath, Json, LogJson, Verbose, app
from cli.output import Output

schedule = typer.Typer(help="Run jobs by their schedules, and find the hours for them.", no_args_is_help=True)
app.add_typer(schedule, name="schedule")


@schedule.command(name="list")
def list_schedules(config: ConfigPath = DEFAULT, json: Json = False, verbose: Verbose = False) -> None:
    """List the jobs with a schedule: when each runs next, and what became of its last fire."""
    from jobs import scheduling

    found = scheduling.list_schedules(config)
    Output(json, verbose).result(found, lambda: scheduling.schedules_text(found))


@schedule.command(name="next")
def next_fires(
    job: Annotated[str | None, typer.Argument(help="The job; all with a schedule if not given.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many of each job.")] = 5,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the next fires, those included that a window or a blackout date keeps from running."""
    from jobs import scheduling

    found = scheduling.next_fires(config, job, count)
    Output(json, verbose).result(found, lambda: scheduling.next_text(found))


@schedule.command()
def start(log_json: LogJson = False, config: ConfigPath = DEFAULT) -> None:
    """Run jobs when their schedules say, in the foreground, until SIGTERM or an interrupt."""
    from jobs import scheduling

    scheduling.start(config, log_json)


@schedule.command()
def suggest(
    job: Annotated[str, typer.Argument(help="The job whose pairs' orders are looked at.")],
    duration: Annotated[str, typer.Option(help="How long a run may take, such as PT1H.")] = "PT1H",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the chart here, as HTML.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Learn the quiet hours of every weekday from captured orders, and propose the cron line."""
    from jobs import quiet_hours

    found = quiet_hours.suggest(config, job, duration, output)
    Output(json, verbose).result(found.document(), found.text)


@schedule.command(hidden=True)
def fire(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job.")],
    at: Annotated[str, typer.Argument(help="The instant that its schedule names.")],
    log_json: LogJson = False,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run what a fire of a schedule calls for, once; `recon schedule start` calls this."""
    from jobs import commands, logs, scheduling

    if log_json:
        logs.start("json")
    out = Output(json, verbose)
    summary = scheduling.run_fire(config, job, at, out.progress, context.obj or ())
    out.result(summary or {}, lambda: summary["verdict"] if summary else "settled already")
    raise typer.Exit(0 if summary is None or commands.within_gates(summary) else 1)
