"""Commands about corrections: send them, approve, reject, undo, and the record of it all."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.app import DEFAULT, ConfigPath, Json, Verbose, app
from cli.output import Output

RunName = Annotated[str, typer.Argument(help="The run, or `latest`.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; RECON_USER or the login name if not given.")]
Who = Annotated[str, typer.Option("--by", help="Who decides.")]
Note = Annotated[str, typer.Option("--note", help="Why, for the record.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="A correction's id, a pair, a SKU or SKU@location; all if none.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Send. Without it, nothing is sent.")]


@app.command()
def publish(
    context: typer.Context,
    run: RunName,
    apply: Apply = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only read back what was sent, where that can be.")] = False,
    by: By = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show exactly what would be sent, or send it (--apply). Exit code 5: a gate holds, or somebody must approve."""
    from jobs import publish_commands as commands

    out = Output(json, verbose)
    if verify:
        counts = commands.verify(config, run)
        out.result(counts, lambda: commands.counts_text(counts))
        return
    _finish(out, commands.publish(config, run, apply, by, out.progress, context.obj), verbose)


@app.command()
def approve(
    run: RunName,
    by: Who,
    note: Note = "",
    only: Only = None,
    gate: Annotated[
        list[str] | None, typer.Option("--gate", help="Let this gate go, in spite of what it found.")
    ] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Approve corrections of a run that are not sent yet."""
    from jobs import publish_commands as commands

    done = commands.decide(config, run, "approve", by, note, only or [], gate or [])
    Output(json, verbose).result(done, lambda: commands.decision_text(done))


@app.command()
def reject(
    run: RunName,
    by: Who,
    note: Note = "",
    only: Only = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Reject corrections of a run: they are never sent."""
    from jobs import publish_commands as commands

    done = commands.decide(config, run, "reject", by, note, only or [], [])
    Output(json, verbose).result(done, lambda: commands.decision_text(done))


@app.command()
def rollback(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="A run that was published, or a rollback.")],
    apply: Apply = False,
    by: By = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Propose the inverse of what a run published, as corrections of their own, and send it (--apply)."""
    from jobs import publish_commands as commands

    out = Output(json, verbose)
    _finish(out, commands.rollback(config, run, apply, by, out.progress, context.obj), verbose)


@app.command()
def audit(
    action: Annotated[str, typer.Argument(help="`list`, or `verify`.")] = "list",
    head: Annotated[str | None, typer.Option(help="verify: the hash of a record that must be there.")] = None,
    config: ConfigPath = DEFAULT,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the audit log, or check that no record was changed, removed or inserted (exit code 1 if one was)."""
    from jobs import publish_commands as commands

    found = commands.audit(config, action, head)
    Output(json, verbose).result(found, lambda: commands.audit_text(found))
    raise typer.Exit(1 if isinstance(found, dict) and found["problems"] else 0)


def _finish(out: Output, outcome: Any, verbose: bool) -> None:
    out.progress_done()
    out.result(outcome.document(), lambda: outcome.lines(verbose))
    raise typer.Exit(outcome.exit_code)
