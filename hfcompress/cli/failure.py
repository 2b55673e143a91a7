"""From what went wrong to one message and an exit code.

0 done, 1 a gate or a verification failed, 2 bad input, 3 a stage failed, 4 publishing failed, 70 an internal error, 75
run it again (it goes on with smaller batches), 130 and 143 interrupted.
"""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import Any, NoReturn

import typer

from hfcompress.credentials import hide_credentials
from hfcompress.distributed.launch import resume_command, whoami
from hfcompress.distributed.world import rank
from hfcompress.errors import HfcompressError, Terminated

GATE_FAILED = 1
BAD_INPUT = 2
INTERNAL = 70
INTERRUPTED = 130
TERMINATED = 143

#: Recent versions of Typer carry click within them, older ones use the package: this is the class of either.
_USAGE_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

_state = {"traceback": False}


def show_traceback(value: bool) -> None:
    """Whether errors come with a traceback (`--debug`)."""
    _state["traceback"] = value


def raise_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, so that temporary folders and worker processes are cleared away.

    Training takes the signal itself while it runs: it saves a checkpoint first.
    """

    def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


def exit_code(error: BaseException) -> int:
    """Say what went wrong on stderr, and give the exit code."""
    if _state["traceback"]:
        print(hide_credentials("".join(traceback.format_exception(error))), end="", file=sys.stderr)  # noqa: T201
    if isinstance(error, HfcompressError):
        return _say(f"error: {error}", error.exit_code)
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, _USAGE_ERROR):
        error.show()
        return BAD_INPUT
    if isinstance(error, Terminated):
        return _say_terminated(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else INTERNAL
    hint = "" if _state["traceback"] else "; run again with --debug for the traceback"
    return _say(f"internal error: {type(error).__name__}: {error}{hint}", INTERNAL)


def say_interrupted() -> None:
    """Typer turns Ctrl-C into an exit code before it gets here, so this is said for the code."""
    if rank() == 0:
        _say("interrupted; run the same command again to go on", INTERRUPTED)


def _say_terminated(error: Terminated) -> int:
    if rank() > 0:  # the others were ended too, and rank 0 says it
        return TERMINATED
    if error.saved is None:
        return _say("terminated; run the same command again to go on", TERMINATED)
    return _say(f"terminated; {error.saved}; to go on: {resume_command(sys.argv)}", TERMINATED)


def _say(message: str, code: int) -> int:
    named = f"{whoami()}: {message}" if rank() > 0 else message
    print(hide_credentials(named), file=sys.stderr)  # noqa: T201 - the one place that prints errors
    return code
