import ast
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".venv" / "numpy-other"
PURE = ("agent.inspection", "agent.ledger")


def needs_only_numpy(path: Path) -> bool:
    """Whether a test file imports nothing of the agent but the rooms that need only numpy."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [module for module in modules if module.split(".")[0] == "agent"]
    return bool(ours) and all(module.startswith(PURE) for module in ours)


def interpreter_with(requirement: str) -> Path:
    """The Python of a small environment with another numpy, made once; skips when it cannot be had."""
    python = CACHE / "bin" / "python"
    stamp = CACHE / "complete"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == requirement:
        return python
    shutil.rmtree(CACHE, ignore_errors=True)
    venv.create(CACHE, with_pip=True)
    wanted = [requirement, "pytest", "pytest-timeout", "hypothesis"]
    command = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{requirement} cannot be installed here: {done.stderr.strip()[-300:]}")
    stamp.write_text(requirement, encoding="utf-8")
    return python


@pytest.mark.timeout(600)
def test_the_pure_core_runs_on_the_other_numpy():
    """The tests of the pure core pass under numpy 1 where this is numpy 2, and the other way round.

    JetPack's OpenCV wants numpy 1, newer wheels want 2. The environment holds nothing else of the agent's
    dependencies, which shows as well that the pure core needs none of them.
    """
    ours = int(np.__version__.split(".")[0])
    requirement = "numpy<2" if ours >= 2 else "numpy>=2"
    python = interpreter_with(requirement)
    files = sorted(path for path in HERE.glob("test_*.py") if needs_only_numpy(path))
    assert {"test_boxes.py", "test_verdict.py", "test_rollups.py"} <= {path.name for path in files}
    seen = subprocess.run(
        [python, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True, check=True
    ).stdout
    assert int(seen.split(".")[0]) == (1 if ours >= 2 else 2)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *map(str, files)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    print(f"numpy {seen.strip()}, Python {sys.version.split()[0]}: {done.stdout.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
