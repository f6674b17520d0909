"""Makes the notebooks in docs/course of docs/course.md and docs/course.zh-CN.md, and runs them.

    ./run python tools/notebooks.py             # those whose code has changed are run
    ./run python tools/notebooks.py 07 embed    # those that are called so are run in any case

The pages are the source: each section becomes the notebook that it links to, behind the cells that
all begin with. A code block tagged ``raises-exception`` fails as the course's own code does; the
message that stands under it on the page is the cell's output in the notebook. Where only words have
changed, the output that is stored stays.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "course"
PAGES = (ROOT / "docs" / "course.md", ROOT / "docs" / "course.zh-CN.md")

_LINK = re.compile(r"^\*\[[^]]*\]\(course/([\w.-]+\.ipynb)\)\*\n", re.MULTILINE)
_CODE = re.compile(r"^```python\n.*?^```\n", re.DOTALL | re.MULTILINE)
_MESSAGE = re.compile(r"(^```python tags=.*?^```\n)\n```text\n.*?^```\n", re.DOTALL | re.MULTILINE)
_ANCHOR = re.compile(r"\]\(#")
_RELATIVE = re.compile(r"\]\((?![a-z]+:)")
_BEFORE_THE_SUMMARY = re.compile(r".*Error Message Summary:\n-+\n", re.DOTALL)

# Quiet and quick, and the same numbers everywhere.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2", "FLAGS_use_pinned_memory": "0"}


def notebooks_of(page: Path) -> Dict[str, NotebookNode]:
    """File name → notebook without output, one for every section of a page."""
    beginning, *sections = re.split(r"^#(?=# )", page.read_text(encoding="utf-8"), flags=re.M)
    setup = "\n".join(_CODE.findall(beginning))
    found = {}
    for section in sections:
        title, name, body = _LINK.split(section, maxsplit=1)
        # Links lead from a folder further down, and the page's anchors are the page's.
        body = _RELATIVE.sub("](../", _ANCHOR.sub(f"]({page.name}#", _MESSAGE.sub(r"\1", body)))
        found[name] = _notebook(f"{title}{_links(name, page.name)}\n\n{setup}\n{body}")
    return found


def _notebook(text: str) -> NotebookNode:
    notebook = jupytext.reads(text, fmt="md")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def _links(name: str, page: str) -> str:
    if name.endswith(".zh-CN.ipynb"):
        return f"*[整个课程](../{page}) · [English]({name.replace('.zh-CN', '')})*"
    return f"*[The whole course](../{page}) · [中文]({name.replace('.ipynb', '.zh-CN.ipynb')})*"


def execute(notebook: NotebookNode) -> None:
    """Run all cells in a new kernel; the notebook then has their output.

    Raises nbclient's CellExecutionError for a cell that fails and should not.
    """
    described = notebook.metadata.copy()
    with tempfile.TemporaryDirectory() as folder:
        # The course's cells read ../../data, and write where they run.
        place = Path(folder) / "docs" / "course"
        place.mkdir(parents=True)
        (Path(folder) / "data").symlink_to(ROOT / "data")
        resources = {"metadata": {"path": str(place)}}
        client = NotebookClient(notebook, timeout=300, record_timing=False, resources=resources)
        client.coalesce_streams = True  # in however many pieces they came
        client.execute(env={**os.environ, **_ENVIRONMENT})
    notebook.metadata = described
    for cell in _code_cells(notebook):
        cell.outputs = [_told(each) for each in cell.outputs if each.get("name") != "stderr"]


def _told(output: NotebookNode) -> NotebookNode:
    """An output as it is stored: of an exception what it says, not the way through Paddle."""
    if output.output_type == "error":
        output.evalue = _BEFORE_THE_SUMMARY.sub("", output.evalue).strip()
        # Where Paddle lies on this machine.
        output.evalue = re.sub(r" \(/\S+/site-packages/\S+\)", "", output.evalue)
        output.traceback = [f"{output.ename}: {output.evalue}"]
    return output


def take_output(notebook: NotebookNode, stored: Path) -> bool:
    """Give a notebook the output that is stored with the same code; whether there was such."""
    if not stored.exists():
        return False
    before, after = (_code_cells(each) for each in (jupytext.read(stored), notebook))
    if [cell.source for cell in before] != [cell.source for cell in after]:
        return False
    for old, new in zip(before, after):
        new.outputs, new.execution_count = old.outputs, old.execution_count
    return True


def _code_cells(notebook: NotebookNode) -> List[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def main(words: Sequence[str]) -> None:
    """Make all notebooks; run those with one of ``words`` in their names, or with other code."""
    for page in PAGES:
        for name, notebook in notebooks_of(page).items():
            named = any(word in name for word in words)
            if named or not take_output(notebook, FOLDER / name):
                print(f"running {name}", flush=True)
                execute(notebook)
            jupytext.write(notebook, FOLDER / name)


if __name__ == "__main__":
    main(sys.argv[1:])
