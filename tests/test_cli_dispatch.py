"""The `robo-dialog` program itself, with small commands made here: names, configuration files, exit codes."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import robo_dialog.errors
import robo_episodes.errors
from robo_dialog import cli
from robo_dialog.errors import EXIT_CODES, ConfigError, RequestError, RoboDialogError
from robo_dialog.improve.command import Improve
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.settings import TuneSettings
from robo_dialog.tune.tune_command import Tune


@dataclass(frozen=True)
class Inner:
    """Nested options."""

    rate: float = 0.5
    """A rate."""


@dataclass(frozen=True)
class Greet:
    """Print what it was given."""

    name: str
    """Who is greeted; has no default."""
    times: int = 1
    """How often."""
    out: Path = Path("greeting")
    """A path."""
    words: tuple[str, ...] = ("hello",)
    """Several words."""
    log: Path | None = None
    """A path that may be left out."""
    inner: Inner = field(default_factory=Inner)
    """Nested options."""

    def run(self) -> int:
        """Print the options."""
        print(self.name, self.times, self.out, *self.words, self.inner.rate, type(self.log).__name__)
        return 0


@dataclass(frozen=True)
class Fail:
    """Raise the error with the given name."""

    error: str

    def run(self) -> int:
        """Raise."""
        kind = next(kind for kind in EXIT_CODES if kind.__name__ == self.error)
        raise kind("frames[0]", "is broken") if kind is RequestError else kind("episode.hdf5: is broken")


@dataclass(frozen=True)
class Write:
    """Write where it cannot."""

    number: int

    def run(self) -> int:
        """Raise."""
        raise OSError(self.number, os.strerror(self.number), "pool/pool.json")


@pytest.fixture(autouse=True)
def _commands(monkeypatch):
    points = [
        EntryPoint("greet", "test_cli_dispatch:Greet", "robo_dialog.commands"),
        EntryPoint("fail", "test_cli_dispatch:Fail", "robo_dialog.commands"),
        EntryPoint("write", "test_cli_dispatch:Write", "robo_dialog.commands"),
        EntryPoint("absent", "no_such_package.module:Command", "robo_dialog.commands"),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return ended.value.code or 0


def write(folder: Path, text: str) -> str:
    path = folder / "options.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_no_argument_lists_the_commands(capsys):
    assert run() == 0
    assert {"greet", "fail", "absent"} <= set(capsys.readouterr().out.split())


def test_unknown_command_names_the_nearest_one(capsys):
    assert run("gret") == 2
    out, err = capsys.readouterr()
    assert "did you mean `greet`?" in err
    assert not out


def test_command_of_an_extra_that_is_not_installed_names_the_extra(capsys):
    assert run("absent") == 2
    assert "pip install" in capsys.readouterr().err


@pytest.mark.parametrize("kind", EXIT_CODES, ids=lambda kind: kind.__name__)
def test_each_error_ends_with_its_exit_code_and_one_line(kind, capsys):
    assert run("fail", "--error", kind.__name__) == EXIT_CODES[kind]
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith("robo-dialog: ")
    assert "is broken" in err
    assert not out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_is_full_or_cannot_be_written_is_told_in_one_line(number, capsys):
    assert run("write", "--number", str(number)) == 1
    assert capsys.readouterr().err == (
        f"robo-dialog: pool/pool.json: {os.strerror(number)}; mend that, then run the same command again\n"
    )


@pytest.mark.parametrize("tree", [robo_dialog.errors, robo_episodes.errors], ids=lambda tree: tree.__name__)
def test_every_error_of_the_trees_has_an_exit_code(tree):
    classes = {kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, RoboDialogError)}
    assert len(classes) > 3
    assert classes - {RoboDialogError} <= set(EXIT_CODES)


def test_config_file_gives_defaults_that_options_override(tmp_path, capsys):
    path = write(tmp_path, "name: robot\ntimes: 3\nout: runs/x\nwords: [good, morning]\ninner:\n  rate: 0.25\n")
    assert run("greet", "--config", path) == 0
    assert capsys.readouterr().out == "robot 3 runs/x good morning 0.25 NoneType\n"
    assert run("greet", "--config", path, "--times", "7", "--inner.rate", "1.5") == 0
    assert capsys.readouterr().out == "robot 7 runs/x good morning 1.5 NoneType\n"


def test_path_that_may_be_left_out_is_a_path_when_it_is_given(tmp_path, capsys):
    assert run("greet", "--config", write(tmp_path, "name: robot\nlog: some/file\n")) == 0
    assert capsys.readouterr().out.endswith("PosixPath\n")


def test_option_without_default_stays_required_with_a_config_file(tmp_path, capsys):
    assert run("greet", "--config", write(tmp_path, "times: 2\n")) == 2
    assert "--name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nmae: robot\n", "did you mean `name`?"),
        ("inner:\n  rte: 1\n", "did you mean `rate`?"),
        ("zzz: 1\n", "known: "),
        ("- a\n- b\n", "expected `option: value` lines"),
        ("name: [unclosed\n", "not valid YAML"),
    ],
)
def test_wrong_config_file_is_refused_with_its_name_and_the_remedy(tmp_path, capsys, text, complaint):
    path = write(tmp_path, text)
    assert run("greet", "--config", path) == 2
    err = capsys.readouterr().err
    assert path in err
    assert complaint in err


def test_variables_give_defaults_over_the_file_and_under_the_options(tmp_path, capsys, monkeypatch):
    path = write(tmp_path, "name: robot\ntimes: 3\n")
    monkeypatch.setenv("ROBO_DIALOG_GREET_TIMES", "4")
    assert run("greet", "--config", path) == 0
    assert capsys.readouterr().out.startswith("robot 4 ")
    assert run("greet", "--config", path, "--times", "5") == 0
    assert capsys.readouterr().out.startswith("robot 5 ")


def test_variables_are_text_paths_and_lists_as_the_option_wants(capsys, monkeypatch):
    for name, value in (("NAME", "007"), ("LOG", "some/file"), ("WORDS", "[good, day]")):
        monkeypatch.setenv(f"ROBO_DIALOG_GREET_{name}", value)
    assert run("greet") == 0
    out = capsys.readouterr().out
    assert out.startswith("007 ")
    assert "good day" in out
    assert out.endswith("PosixPath\n")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [("TIMSE", "3", "did you mean `times`?"), ("TIMES", "many", "expected int"), ("TIMES", "[", "expected int")],
)
def test_a_wrong_variable_is_refused_by_its_name(capsys, monkeypatch, variable, value, complaint):
    monkeypatch.setenv(f"ROBO_DIALOG_GREET_{variable}", value)
    assert run("greet", "--name", "robot") == 2
    err = capsys.readouterr().err
    assert f"$ROBO_DIALOG_GREET_{variable}" in err
    assert complaint in err


IMPROVE = "pool: pool\nout: runs/improved\n"
"""What `improve` cannot do without."""


def improve_of(path: str) -> Improve:
    return cli._parse(Improve, "improve", ["--config", path])


@pytest.mark.parametrize(
    "text",
    [
        "play:\n  pairing: augmented\ntune:\n  rate: 0.0001\nrounds: 1\n",
        "settings:\n  play:\n    pairing: augmented\n  tune:\n    rate: 0.0001\n  rounds: 1\n",
        "settings:\n  play:\n    pairing: augmented\n  rounds: 2\nrounds: 1\ntune:\n  rate: 0.0001\n",
    ],
)
def test_a_section_of_a_config_file_changes_what_it_names_and_nothing_else(tmp_path, text):
    found = improve_of(write(tmp_path, IMPROVE + text))
    whole = RoundSettings(rounds=1)
    play, tune = replace(whole.play, pairing="augmented"), replace(whole.tune, rate=0.0001)
    assert found.settings == replace(whole, play=play, tune=tune)
    options = ["--pool", "pool", "--out", "runs/improved", "--rounds", "1"]
    assert found == cli._parse(Improve, "improve", [*options, "--play.pairing", "augmented", "--tune.rate", "0.0001"])


def test_a_config_file_and_variables_take_the_names_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBO_DIALOG_IMPROVE_GAMES", "500")
    found = improve_of(write(tmp_path, IMPROVE + "gate:\n  margin: 0.03\nheld-out: 0.5\ngames: 400\n"))
    assert (found.limits, found.settings) == (Limits(margin=0.03), RoundSettings(games=500, held_out=0.5))


def test_variables_change_what_they_name_of_a_section_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBO_DIALOG_IMPROVE_PLAY", "{pairing: cross_view}")
    monkeypatch.setenv("ROBO_DIALOG_IMPROVE_SETTINGS", "{games: 9}")
    found = improve_of(write(tmp_path, IMPROVE + "games: 5\nplay:\n  questions:\n    bank: 5\n")).settings
    assert (found.games, found.play.pairing, found.play.questions.bank, found.tune.steps) == (9, "cross_view", 5, 160)


def test_values_that_belong_together_may_come_from_several_places(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBO_DIALOG_TUNE_BATCH", "33")
    monkeypatch.setenv("ROBO_DIALOG_TUNE_ACCUMULATE", "3")
    path = write(tmp_path, "rows: [runs/games]\nout: runs/tuned\nanchor-share: 0\n")
    monkeypatch.setenv("ROBO_DIALOG_TUNE_GUESSER_SHARE", "0.8")
    found = cli._parse(Tune, "tune", ["--config", path, "runs/games"]).settings
    assert found == TuneSettings(batch=33, accumulate=3, anchor_share=0.0, guesser_share=0.8)


def test_a_section_that_is_none_is_refused_beside_its_options(tmp_path):
    path = write(tmp_path, IMPROVE + "settings: 3\nrounds: 1\n")
    with pytest.raises(ConfigError, match="`settings` is 3, expected a section of options"):
        improve_of(path)


def test_missing_config_file_is_refused(tmp_path, capsys):
    assert run("greet", "--config", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert run("greet", "--config") == 2


@pytest.mark.parametrize(
    "text", ["name: robot\ntimes: many\n", "name: robot\ninner: 3\n", "name: robot\nwords: hello\n"]
)
def test_value_of_the_wrong_type_in_a_config_file_is_refused(tmp_path, capsys, text):
    path = write(tmp_path, text)
    assert run("greet", "--config", path) == 2
    assert "options.yaml" in capsys.readouterr().err


def test_interrupt_ends_with_130_and_no_traceback(monkeypatch, capsys):
    def interrupt(self: Greet) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Greet, "run", interrupt)
    assert run("greet", "--name", "robot") == 130
    assert "run the same command again" in capsys.readouterr().err
