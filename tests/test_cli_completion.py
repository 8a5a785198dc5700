"""Shells complete commands and options."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from robo_dialog.cli import SUMMARIES, main


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    program = f"{sys.executable} -c 'from robo_dialog.cli import main; main()'"
    code = f"""
robo-dialog() {{ {program} "$@"; }}
source <(robo-dialog --completion bash)
COMP_WORDS=({" ".join(map(repr, words))}); COMP_CWORD={len(words) - 1}
_robo_dialog
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_and_their_options():
    assert completed("robo-dialog", "mo") == ["models"]
    assert completed("robo-dialog", "serve", "--po") == ["--port"]
    assert completed("robo-dialog", "play", "--rules.") == ["--rules.candidates", "--rules.turns"]
    assert completed("robo-dialog", "play", "po") == []


def words(capsys, *arguments: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(["--complete", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out.split()


def test_all_commands_are_offered(capsys):
    assert words(capsys) == sorted(SUMMARIES)


def test_an_unknown_command_has_no_options(capsys):
    assert words(capsys, "dance") == []


def test_an_unknown_shell_is_refused_with_those_that_are_known(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--completion", "tcsh"])
    assert ended.value.code == 2
    assert "bash, zsh" in capsys.readouterr().err
