"""What the README, the examples and the notebook show works as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
README = (TOP / "vectordb-py" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXAMPLES = TOP / "examples" / "python"


def run(*arguments: str, where: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=where, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quickstart_has_at_most_fifteen_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 15


def test_the_quickstart_runs(tmp_path: Path) -> None:
    assert "a " in run("-c", BLOCKS[0], where=tmp_path)
    # Again, over what the first run left.
    (tmp_path / "docs.snapshot").unlink()
    run("-c", BLOCKS[0], where=tmp_path)


def test_the_rest_of_the_readme_runs(tmp_path: Path) -> None:
    names: dict[str, object] = {"__name__": "readme"}
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for block in BLOCKS[1:]:
            exec(compile(block, "README.md", "exec"), names)
    finally:
        os.chdir(before)


@pytest.mark.parametrize(("name", "words"), [("retrieval.py", "recall@10"), ("rag_langchain.py", "\n  ")])
def test_examples_run(tmp_path: Path, name: str, words: str) -> None:
    assert words in run(str(EXAMPLES / name), where=tmp_path)


def test_the_notebook_runs() -> None:
    cells = json.loads((EXAMPLES / "retrieval.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    run("-c", code, where=TOP)
