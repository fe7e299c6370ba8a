"""The command line as a user meets it: help, exit codes, one line for every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest

import edge_ecg
from edge_ecg.cli import main as cli
from edge_ecg.cli.checkout import find_checkout, load_verb, missing_library
from edge_ecg.errors import DataError, EdgeEcgError, ModelError, SourceError, UsageError
from firmware_bridge.blocks import LinkError


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command_that_raises(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a command `broken` into the table; what it raises is set on the module returned."""
    module = ModuleType("command_that_raises")

    @click.command()
    def broken() -> None:
        """Raise what the test asks for."""
        raise module.error

    module.__dict__["broken"] = broken
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "broken", cli.Entry("command_that_raises:broken", "Raise."))
    return module


def test_help_lists_every_command_and_what_this_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["-h"]) == 0
    text = capsys.readouterr().out
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in text
        assert entry.help in " ".join(text.split())
    assert "Research software, not a medical device." in text
    assert "Example:" in text


def test_no_arguments_give_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["click", "edge_ecg.cli.main", "edge_ecg.cli.replay", "numpy"])
def test_ctrl_c_while_it_is_still_being_imported_is_quiet(module: str) -> None:
    scripts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    entry, _, name = scripts["edge-ecg"].partition(":")
    code = (
        "import importlib, os, signal, sys\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        "sys.argv = ['edge-ecg', 'replay', 'a-record']\n"
        f"sys.exit(importlib.import_module({entry!r}).{name}())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr in ("", "edge-ecg: stopped\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-ecg {edge_ecg.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("no such lead", "Known: I, II"), 2, "edge-ecg: no such lead. Known: I, II\n"),
        (ModelError("hash differs"), 3, "edge-ecg: hash differs\n"),
        (
            SourceError("port is busy", "Close the other program"),
            4,
            "edge-ecg: port is busy. Close the other program\n",
        ),
        (LinkError("no answer", "Check the cable"), 4, "edge-ecg: no answer. Check the cable\n"),
        (DataError("file\ncut short"), 5, "edge-ecg: file cut short\n"),
        (EdgeEcgError("odd"), 70, "edge-ecg: odd\n"),
        (KeyboardInterrupt(), 130, "edge-ecg: stopped\n"),
        (click.UsageError("bad option"), 2, "edge-ecg: bad option. Try `edge-ecg broken -h`.\n"),
        (click.ClickException("bad"), 2, "edge-ecg: bad\n"),
        (
            ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
            2,
            "edge-ecg: this command needs tensorflow, which is not installed. "
            'Run `pip install -e ".[train]"` in the checkout\n',
        ),
    ],
)
def test_each_error_is_one_line_and_its_exit_code(
    error: BaseException,
    code: int,
    text: str,
    command_that_raises: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command_that_raises.__dict__["error"] = error
    assert cli.run(["broken"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", text)


def test_a_bug_says_so_and_shows_the_traceback_only_on_demand(
    command_that_raises: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_ECG_DEBUG", raising=False)
    command_that_raises.__dict__["error"] = ZeroDivisionError("division by zero")
    assert cli.run(["broken"]) == 70
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "this is a bug (ZeroDivisionError: division by zero)" in err
    assert "issue tracker" in err

    assert cli.run(["--debug", "broken"]) == 70
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("EDGE_ECG_DEBUG", "1")
    assert cli.run(["broken"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["confg"], ['"confg"', 'Did you mean "config"?', "edge-ecg -h"]),
        (["config", "show", "--jsn"], ["--jsn", "--json", "edge-ecg config show -h"]),
        (["config", "check", "absent.toml"], ["absent.toml", "No such file"]),
    ],
)
def test_usage_errors_point_the_way(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert cli.run(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edge_ecg.cli.main", "config", "example"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("args", [["models", "list"], ["--help"], ["config", "example"]])
def test_a_full_stdout_is_one_line(
    args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for wanted in ("No space left on device", "standard output is closed"):
        with open("/dev/full", "w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full if "space" in wanted else None)
            assert cli.run(args) == 5
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"edge-ecg: cannot write the output: {wanted}. ")


def test_the_interpreter_does_not_complain_of_a_full_stdout() -> None:
    for flags in ((), ("-u",)):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, *flags, "-m", "edge_ecg.cli.main", "config", "example"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, len(done.stderr.splitlines())) == (5, 1)


def test_config_show(capsys: pytest.CaptureFixture[str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "edge-ecg.toml").write_text('[link]\nport = "/dev/x"\n', encoding="utf-8")
    monkeypatch.setenv("EDGE_ECG__LINK__BAUD", "9600")
    assert cli.run(["config", "show", "--origin"]) == 0
    shown = capsys.readouterr().out
    assert 'port = "/dev/x"  # file edge-ecg.toml' in shown
    assert "baud = 9600  # environment EDGE_ECG__LINK__BAUD" in shown
    assert tomllib.loads(shown)["link"]["baud"] == 9600

    assert cli.run(["config", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    link = {"port": "/dev/x", "board": "edge", "baud": 9600, "fs_hz": None, "handshake_timeout_s": 5.0, "wait_s": None}
    assert document["settings"]["link"] == link
    assert document["origins"]["link.port"] == "file edge-ecg.toml"
    assert document["file"] == "edge-ecg.toml"


def test_config_example_passes_config_check(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    assert cli.run(["config", "example"]) == 0
    (elsewhere / "mine.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert cli.run(["config", "check", "mine.toml"]) == 0
    assert capsys.readouterr().out == "mine.toml: ok\n"
    (elsewhere / "mine.toml").write_text("[link]\nbauds = 1\n", encoding="utf-8")
    assert cli.run(["config", "check", "mine.toml"]) == 2
    assert capsys.readouterr().err == 'edge-ecg: mine.toml: unknown key "link.bauds". Did you mean "link.baud"?\n'


def test_config_check_asks_the_model_for_its_operating_point(
    capsys: pytest.CaptureFixture[str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = elsewhere / "mine.toml"
    file.write_text('[model]\noperating_point = "sensitive"\n', encoding="utf-8")
    assert cli.run(["config", "check", "mine.toml"]) == 0
    file.write_text('[model]\nid = "mitdb-baseline-int8"\noperating_point = "sensitive"\n', encoding="utf-8")
    assert cli.run(["config", "check", "mine.toml"]) == 3
    assert "mitdb-baseline-int8 is a network and has no operating points" in capsys.readouterr().err
    monkeypatch.setenv("EDGE_ECG__MODEL__OPERATING_POINT", "sensitive")
    monkeypatch.setenv("EDGE_ECG__MODEL__ID", "mitdb-baseline-int8")
    assert cli.run(["config", "check"]) == 3


def test_doctor_prints_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)
    assert {"python", "interpreter", "models", "settings", "disk"} <= {check["name"] for check in checks}
    assert code == (2 if any(check["status"] == "fail" for check in checks) else 0)
    assert cli.run(["doctor"]) == code
    shown = capsys.readouterr().out
    assert all(check["name"] in shown for check in checks)


def make_checkout(root: Path) -> Path:
    """Lay out the smallest tree that counts as a checkout."""
    (root / "train").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "edge-ecg"\n', encoding="utf-8")
    (root / "train" / "__init__.py").write_text("", encoding="utf-8")
    return root


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make edge_ecg look installed in a site-packages directory, where no checkout is beside it."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(edge_ecg, "__file__", str(site / "edge_ecg" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    return site


def test_checkout_is_beside_the_package() -> None:
    assert (find_checkout() / "tests" / "edge_ecg" / "test_cli_main.py").samefile(__file__)


def test_checkout_may_be_the_current_directory(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(tmp_path / "clone")
    monkeypatch.chdir(root)
    assert find_checkout() == root


def test_another_project_with_a_train_package_is_no_checkout(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_checkout(tmp_path / "other")
    (root / "pyproject.toml").write_text('[project]\nname = "other"\n', encoding="utf-8")
    monkeypatch.chdir(root)
    for verb in ("train", "evaluate", "convert"):
        assert cli.run([verb]) == 2
        err = capsys.readouterr().err
        assert "git clone" in err
        assert 'pip install -e ".[train]"' in err


def run_verb_in(root: Path, foreign: Path) -> subprocess.CompletedProcess[str]:
    """Load the verb `train` from a checkout while a foreign `train` comes first on the path."""
    code = (
        "import sys, edge_ecg, train\n"
        f"edge_ecg.__file__ = {str(root / 'edge_ecg' / '__init__.py')!r}\n"
        "from edge_ecg.cli.checkout import load_verb\n"
        "print(train.__file__)\n"
        "try:\n"
        "    print(load_verb('edge-ecg train', 'train.cli:train'))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    path = os.pathsep.join([str(foreign), str(Path(edge_ecg.__file__).parents[1])])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=foreign, check=True
    )


def test_a_foreign_train_never_wins(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "clone")
    (root / "train" / "cli.py").write_text("from train.deeper import train\n", encoding="utf-8")
    (root / "train" / "deeper.py").write_text("train = 'ours'\n", encoding="utf-8")
    foreign = tmp_path / "foreign"
    (foreign / "train").mkdir(parents=True)
    (foreign / "train" / "__init__.py").write_text("", encoding="utf-8")
    (foreign / "train" / "cli.py").write_text("train = 'theirs'\n", encoding="utf-8")
    first, second = run_verb_in(root, foreign).stdout.splitlines()
    assert first == str(foreign / "train" / "__init__.py")
    assert second == "ours"


def test_a_missing_tensorflow_says_what_to_install(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "clone")
    (root / "train" / "cli.py").write_text("import tensorflow.absent_submodule\n", encoding="utf-8")
    foreign = tmp_path / "foreign"
    (foreign / "train").mkdir(parents=True)
    (foreign / "train" / "__init__.py").write_text("", encoding="utf-8")
    (foreign / "tensorflow").mkdir()  # stands for a TensorFlow that lacks what is asked for
    (foreign / "tensorflow" / "__init__.py").write_text("", encoding="utf-8")
    message = run_verb_in(root, foreign).stdout.splitlines()[1]
    assert message.startswith("UsageError edge-ecg train needs tensorflow")
    assert 'pip install -e ".[train]"' in message


def test_a_missing_module_of_ours_is_no_missing_library() -> None:
    assert missing_library(ModuleNotFoundError(name="train.absent")) is None
    with pytest.raises(ModuleNotFoundError):
        load_verb("edge-ecg train", "train.absent_module:train")
