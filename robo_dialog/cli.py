"""The `robo-dialog` program: finds the named command, parses its dataclass, runs it, maps errors to exit codes.

It knows no command by itself: commands are entry points in the group `robo_dialog.commands`, so that `--help`
imports nothing heavy and every package above this one may add its own.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any, Protocol

from robo_dialog.errors import EXIT_CODES, ConfigError, RoboDialogError

SUMMARIES: dict[str, str] = {
    "inspect": "show what is recognised in recordings: layout, cameras, instructions, labels, warnings",
    "ingest": "read final frames of recordings into a frame pool",
    "annotate": "write verdicts beside recordings or into LeRobot datasets",
    "simulate": "make labelled episodes with the MuJoCo tabletop",
    "pretrain": "train the embedded model `tiny` from scratch",
    "play": "dialog games over a frame pool, without labels",
    "filter": "judge the dialogs of a run and write training rows",
    "report": "write an HTML page of a run: counts, and games to read",
    "tune": "fine-tune a model (LoRA) on kept dialogs",
    "improve": "rounds of games, tuning and a gate on episodes without labels",
    "evaluate": "how good a model or bundle is on labelled episodes",
    "review": "look at doubtful verdicts in a local web page, decide by keyboard",
    "calibrate": "fit how margins become verdicts to a lab, with or without labels",
    "promote": "make a detector the champion of a model store, if it is not worse",
    "export": "write a detector bundle (ONNX) from a model",
    "detect": "verdict on image files, without a server",
    "relabel": "verdicts on every episode of recordings, beside their labels",
    "share": "frames with verdicts and answers, for Hugging Face datasets and Rerun",
    "models": "list, compare, publish, promote and roll back the detectors of a model store; check a model",
    "nightly": "from new recordings to a new champion, once a night",
    "serve": "serve verdicts over gRPC",
    "ready": "whether a server gives verdicts now",
    "demo": "episodes, ingest, server and verdicts in one go, with an HTML page",
}


_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What the system says where a file cannot be written or read, whoever wanted to."""


class Command(Protocol):
    """A dataclass whose fields are the options and whose `run` does the work.

    `run` returns the process's exit code (0 = done) and raises `RoboDialogError` on bad input.
    """

    def run(self) -> int:
        """Execute the command."""
        ...


def main(argv: list[str] | None = None) -> None:
    """Entry point of the `robo-dialog` script; always exits."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        sys.exit(_dispatch(arguments))
    except RoboDialogError as error:
        print(f"robo-dialog: {error}", file=sys.stderr)
        sys.exit(next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1))
    except KeyboardInterrupt:
        print("robo-dialog: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"robo-dialog: {where}{error.strerror}; mend that, then run the same command again", file=sys.stderr)
        sys.exit(1)


def _dispatch(arguments: list[str]) -> int:
    commands = {point.name: point for point in entry_points(group="robo_dialog.commands")}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(commands))
        return 0
    if arguments[0] == "--version":
        print(f"robo-dialog {version('robo-dialog')}")
        return 0
    if arguments[0] in ("--completion", "--complete"):
        print(_completion(commands, arguments))
        return 0
    name = arguments[0]
    if name not in commands:
        close = difflib.get_close_matches(name, commands, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else "; `robo-dialog --help` lists the commands"
        raise ConfigError(f"no command `{name}`{hint}")
    return _parse(_load(commands[name]), name, arguments[1:]).run()


def _completion(commands: dict[str, EntryPoint], arguments: list[str]) -> str:
    """The script for a shell, or the words that it asks for: commands, or the options of one."""
    from robo_dialog.completion import options, script

    if arguments[0] == "--completion":
        return script(" ".join(arguments[1:]))
    if len(arguments) == 1:
        return "\n".join(sorted(commands))
    command = commands.get(arguments[1])
    return "" if command is None else "\n".join(options(lambda: _parse(_load(command), command.name, ["--help"])))


def _usage(commands: dict[str, EntryPoint]) -> str:
    ordered = sorted(commands, key=lambda name: list(SUMMARIES).index(name) if name in SUMMARIES else 99)
    lines = [f"  {name:<10} {SUMMARIES.get(name, '')}" for name in ordered]
    return "\n".join(
        [
            "usage: robo-dialog COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "`robo-dialog COMMAND --help` shows the options.",
            "`source <(robo-dialog --completion bash)` completes them in the shell; zsh likewise.",
        ]
    )


def _load(point: EntryPoint) -> type[Command]:
    try:
        command: type[Command] = point.load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`{point.name}` needs the package `{error.name}`, which is not installed; "
            f"install an extra that has it, for example: pip install 'robo-dialog[train,sim]'"
        ) from error
    return command


def _parse(command: type[Command], name: str, arguments: list[str]) -> Command:
    try:
        import tyro
    except ModuleNotFoundError as error:
        raise ConfigError("the command line needs tyro; install it with: pip install 'robo-dialog[cli]'") from error
    path, rest = _take_config(arguments)
    prefix = f"ROBO_DIALOG_{name.upper()}_"
    from robo_dialog.config import configured

    default = configured(command, path, os.environ, prefix)
    extra: dict[str, Any] = {} if default is None else {"default": default}
    parsed: Command = tyro.cli(command, prog=f"robo-dialog {name}", args=rest, **extra)
    return parsed


def _take_config(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """Split `--config FILE` off; the file's keys become the defaults that other options override."""
    if "--config" not in arguments:
        return None, arguments
    at = arguments.index("--config")
    if at + 1 >= len(arguments):
        raise ConfigError("--config needs a file name, for example: --config nightly.yaml")
    return Path(arguments[at + 1]), arguments[:at] + arguments[at + 2 :]
