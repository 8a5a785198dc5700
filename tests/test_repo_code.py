"""What every source file keeps to beyond what ruff checks: no data file can run code, and types are published."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from conftest import MODULES, PACKAGES

CODE_LOADERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def code_from_data(tree: ast.AST) -> Iterator[str]:
    """Calls and imports by which a data file could run code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in CODE_LOADERS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in CODE_LOADERS:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load"}:
                yield name
            if any(
                word.arg in {"allow_pickle", "trust_remote_code"} and not is_false(word.value) for word in node.keywords
            ):
                yield f"{name} with a keyword that lets data run code"


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("module", MODULES)
def test_no_data_file_can_run_code(module):
    assert list(code_from_data(ast.parse(MODULES[module].read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import numpy as np; np.load('x', allow_pickle=True)",
        "import torch; torch.load('x')",
        "eval('1')",
        "load('x', trust_remote_code=wish)",
    ],
)
def test_the_check_for_code_in_data_finds(line):
    assert list(code_from_data(ast.parse(line)))


def test_the_check_for_code_in_data_allows_the_safe_forms():
    assert not list(code_from_data(ast.parse("np.load('x', allow_pickle=False); model.eval(); literal_eval('1')")))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_tell_type_checkers_that_they_are_typed(package):
    assert (PACKAGES[package] / "py.typed").exists()
