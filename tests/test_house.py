"""The rules of the house that no linter knows."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import errors

ROOT = Path(__file__).parent.parent
LINES = 400
EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "service", "util", "utils"}
# Written in pieces, so that this file does not trip over itself.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work)/|pythonhosted\.|//pypi\.|(?:index|registry|mirror)\.[a-z-]+\.(?:org|io)"
)


def tracked(*patterns: str) -> list[Path]:
    """The files that git knows and that are still there, or a reason to skip."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this is not a git checkout: {error}")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function that a Python file defines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_too_long():
    """No file of the package has more than 400 lines."""
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in tracked("agent/*.py")}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


def test_every_module_has_a_name_that_explains_something():
    """No module or folder is called utils, helpers, common, manager, service or base."""
    parts = {part for path in tracked("*.py") for part in path.relative_to(ROOT).with_suffix("").parts}
    assert "agent" in parts
    assert not parts & EMPTY_NAMES


def test_every_test_says_what_it_specifies():
    """Each test function has a docstring that is a sentence with a full stop."""
    tests = [
        (path.name, node.name, ast.get_docstring(node) or "")
        for path in tracked("tests/*.py")
        for node in functions(path)
        if node.name.startswith("test_")
    ]
    assert tests
    assert [(file, name) for file, name, said in tests if not said.split("\n\n")[0].endswith(".")] == []


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    """The docstring of agent/errors.py draws exactly the classes that exist, each under its parent."""
    drawn: dict[str, str] = {}
    branches = {0: "FieldgateError"}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"( +)[+-] (\w+)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            drawn[found[2]], branches[depth] = branches[depth - 1], found[2]
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert drawn == {one.__name__: one.__mro__[1].__name__ for one in classes if one is not errors.FieldgateError}


def test_no_file_knows_the_machine_it_was_written_on():
    """No tracked text but the lock names a package index's host or an absolute path of somebody's machine."""
    found = []
    for path in tracked():
        if path.name == "uv.lock":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and models
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in FOREIGN.finditer(text)]
    assert found == []


def test_the_yardstick_is_not_made_of_what_it_measures():
    """The bare loop, which every ratio divides by, imports nothing of the agent."""
    tree = ast.parse((ROOT / "agent" / "batch" / "bare_loop.py").read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert "json" in imported
    assert [module for module in imported if module.split(".")[0] == "agent"] == []


def test_torch_is_only_for_training():
    """PyTorch is neither a dependency nor in the lock: only the training script needs it."""
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert 'name = "numpy"' in lock
    assert not re.search(r'name = "(torch|torchvision|tensorflow)"', lock)


@pytest.mark.parametrize("extra", ["cpu", "jetson", "dev"])
def test_the_lock_knows_each_extra(extra):
    """uv.lock resolves every extra of the package."""
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert f"extra == '{extra}'" in lock
