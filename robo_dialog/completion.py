"""Shell completion: `robo-dialog --completion bash` (or zsh) prints what a shell reads to complete what is typed.

    source <(robo-dialog --completion bash)

What completes is asked of the program each time the key is pressed, so it is never out of date.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable

from robo_dialog.errors import ConfigError

SHELLS = ("bash", "zsh")
_SCRIPT = """_robo_dialog() {
  local word="${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "$(robo-dialog --complete)" -- "$word"))
  elif [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$(robo-dialog --complete "${COMP_WORDS[1]}")" -- "$word"))
  fi
}
complete -o default -F _robo_dialog robo-dialog
"""
_OPTION = re.compile(r"--[a-z][a-z0-9.-]*[a-z0-9]")


def script(shell: str) -> str:
    """What the shell is to read.

    Raises:
        ConfigError: the shell is none of `SHELLS`.
    """
    if shell not in SHELLS:
        raise ConfigError(f"--completion {shell}: give one of {', '.join(SHELLS)}")
    return ("autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else "") + _SCRIPT


def options(show_help: Callable[[], object]) -> Iterable[str]:
    """The options with which lines of a help text begin, and `--config`, which every command takes."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        show_help()
    lines = (line.strip("│ ") for line in shown.getvalue().splitlines())
    named = [option for line in lines if line.startswith("-") for option in _OPTION.findall(line.split("  ")[0])]
    return dict.fromkeys([*named, "--config"])
