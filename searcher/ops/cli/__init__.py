"""The command line: standard output carries the result, standard error everything else.

Commands are imported when they are called, so that help and completion come at once. A new command
is one line in `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import cyclopts

from searcher import __version__
from searcher.domain.errors import ExitStatus, SearcherError


class Mount(NamedTuple):
    """One command or group: its name, where it is, and its line in the help."""

    name: str
    target: str
    help: str


COMMANDS = (
    Mount("run", "searcher.ops.cli.run:run", "Run the daemon."),
    Mount("demo", "searcher.ops.cli.demo:demo", "Watch the daemon earn on local chains."),
    Mount("executor", "searcher.ops.cli.executor:app", "Deploy the executor; withdraw from it."),
    Mount("dry-run", "searcher.ops.cli.dry_run:dry_run", "Try strategies on a fork of a node."),
    Mount("devnet", "searcher.ops.cli.devnet:app", "Local chains with real protocols."),
    Mount("market", "searcher.ops.cli.market:app", "Look at a chain's pools and paths."),
    Mount("quote", "searcher.ops.cli.quote:quote", "Ask a pool's curve, exact to the wei."),
    Mount("kernels", "searcher.ops.cli.kernels:app", "Compile the kernels ahead of their use."),
    Mount("config", "searcher.ops.cli.config:app", "Check, show and explain the configuration."),
)

TRACEBACK_FLAG = "--traceback"
TRACEBACK_VARIABLE = "SEARCHER_TRACEBACK"


def build(commands: Sequence[Mount] = COMMANDS) -> cyclopts.App:
    """Return the application with `commands` mounted, none of them imported."""
    app = cyclopts.App(
        name="searcher",
        help="Search EVM chains for value that harms no other user.",
        help_epilogue=f"{TRACEBACK_FLAG} before a command shows where an unexpected error arose.",
        version=__version__,
        help_format="plaintext",  # Markdown would double the time to the first line
        version_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        exit_on_error=False,
    )
    for mount in commands:
        app.command(mount.target, name=mount.name, help=mount.help)
    return app


def main() -> NoReturn:
    """Run the command line and end the process with its status (docs/exit-codes.md)."""
    arguments = sys.argv[1:]
    traceback = os.environ.get(TRACEBACK_VARIABLE) == "1"
    if arguments[:1] == [TRACEBACK_FLAG]:
        arguments, traceback = arguments[1:], True
    sys.exit(run(build(), arguments, traceback=traceback))


def run(app: cyclopts.App, arguments: Sequence[str], *, traceback: bool = False) -> int:
    """Run one command and return the status of the process.

    An error of ours is its own sentence. Anything else is a defect: it is told in short, written
    in full to a file of the state folder, and shown in full when `traceback` is asked for.
    """
    try:
        result = app(list(arguments), console=None)
    except cyclopts.CycloptsError:
        return ExitStatus.USAGE  # cyclopts has said what is wrong
    except SearcherError as error:
        _say(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    except Exception as error:  # noqa: BLE001 - the last handler there is
        from searcher.ops.cli.crash import report

        _say(report(error, show=traceback))
        return ExitStatus.FAULT
    return result if isinstance(result, int) else ExitStatus.OK


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
