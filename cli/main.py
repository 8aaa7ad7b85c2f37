"""The `recon` command: commands by topic, and the one place that catches expected errors.

A topic is a module; importing it registers its commands on the application. Everything heavy is
imported when a command runs.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from importlib import import_module

import typer

from cli.app import app
from jobs import logs
from reconcilers.errors import ReconError

#: The modules of `cli/` that register commands, in the order of the help.
TOPICS = (
    *("start", "comparing", "snapshots", "quality", "runs", "publishing", "scheduling", "pausing", "catalogue"),
    "deploying",
)

for topic in TOPICS:
    import_module(f"cli.{topic}")

_INTERRUPTED = 130


def main() -> None:
    """Run the command; expected errors are told in one place, in one line each.

    What follows `--` goes to Beam as it is.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        traceback.print_exc(file=sys.__stderr__)
        lines, code = ["this is a bug, please report it with the lines above"], 70
    for line in lines:
        if logs.is_json():
            logs.tell(line, logging.ERROR, exit_code=code)
        else:
            print(f"recon: {line}", file=sys.stderr)
    return code


def _usage(error: typer.TyperException) -> str:
    """What was wrong on the command line, and where the help is."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{message} (see recon --help)"


if __name__ == "__main__":
    main()
