"""The course: its notebooks are its pages, with their output; its lesson computes what we do."""

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import numpy as np
import pytest
from helpers import ROOT, dygraph, environment, verb

from mnist import config as configs
from mnist.checkpoints import pickles
from mnist.fluid.environment import _settings
from mnist.model import architectures
from tools import notebooks

COURSE = ROOT / "docs" / "course"
LESSON = COURSE / "lesson.py"

MADE = {
    name: made for page in notebooks.PAGES for name, made in notebooks.notebooks_of(page).items()
}
each_notebook = pytest.mark.parametrize("name", sorted(MADE))


def sources(notebook):
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def told(notebook):
    """What the cells have put out, as text; of an exception what it says."""
    return [
        [
            output.get("text") or output.get("evalue") or output.data["text/plain"]
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_is_a_notebook_for_each_question_in_both_languages():
    english = [name for name in MADE if not name.endswith(".zh-CN.ipynb")]
    assert len(english) == 19  # 17, the place and the first model
    assert set(MADE) == {path.name for path in COURSE.glob("*.ipynb")}
    assert set(MADE) == {*english, *(name.replace(".ipynb", ".zh-CN.ipynb") for name in english)}


@each_notebook
def test_a_stored_notebook_is_the_page_as_it_is(name):
    again = "./run python tools/notebooks.py " + name.partition(".")[0]
    assert sources(jupytext.read(COURSE / name)) == sources(MADE[name]), again


@each_notebook
def test_every_cell_was_run_and_failed_where_it_says_so(name):
    cells = [cell for cell in jupytext.read(COURSE / name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(failed) == ("raises-exception" in cell.metadata.get("tags", []))
    # Beside what every notebook begins with, there is something to see.
    assert any(cell.outputs for cell in cells)
    assert "/home/" not in str(cells) and str(ROOT) not in str(cells)


@each_notebook
def test_the_links_of_a_notebook_lead_to_files(name):
    text = "\n".join(cell.source for cell in MADE[name].cells if cell.cell_type == "markdown")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert targets
    assert [target for target in targets if not (COURSE / target).exists()] == []


def test_the_messages_in_the_notebooks_are_those_of_the_page():
    page = notebooks.PAGES[0].read_text()
    messages = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    said = "\n".join(
        output.traceback[0]
        for name in MADE
        for cell in jupytext.read(COURSE / name).cells
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    )
    assert len(messages) > 10
    assert [message for message in messages if message.strip() not in said] == []


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_puts_out_what_is_stored(name):
    notebooks.execute(MADE[name])
    assert told(MADE[name]) == told(jupytext.read(COURSE / name))


# --- docs/messages.md: what other packages break ---------------------------------------

BREAKING = re.compile(
    r"^```bash\npip install (\S+)\npython -c \"(.+)\"\n```\n\n```text\n(.+)\n```", re.MULTILINE
)
IN_THE_PAGE = BREAKING.findall((ROOT / "docs" / "messages.md").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("package, code, message", IN_THE_PAGE)
def test_a_package_breaks_the_import_with_this_message(package, code, message, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    if subprocess.run([*pip, package], timeout=240).returncode:
        pytest.skip(f"{package} cannot be had here")
    command = [sys.executable, "-c", code]  # looks for packages where it is run first
    done = subprocess.run(command, cwd=str(tmp_path), capture_output=True, text=True, timeout=240)
    assert done.returncode and message in done.stderr


def test_the_page_has_what_breaks_the_import():
    assert [package.partition("=")[0] for package, _, _ in IN_THE_PAGE] == ["protobuf", "numpy"]


# --- docs/course/lesson.py -------------------------------------------------------------


def learn(folder, *arguments):
    done = subprocess.run(
        [sys.executable, str(LESSON), *arguments],
        cwd=str(folder), env={**environment(), **_settings(threads=1)}, timeout=240,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def parameters(path):
    return {name: value for name, value in pickles.load(Path(path)).items() if "@@" not in name}


def by_layer(lesson):
    """The lesson's parameters under the package's names."""
    names = {"stage1.conv": "conv1", "stage2.conv": "conv2", "stage1": "conv1", "stage2": "conv2"}
    parts = ((name.rpartition("."), value) for name, value in lesson.items())
    return {f"{names.get(layer, layer)}.{own}": value for (layer, _, own), value in parts}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesson")
    return folder, learn(folder)


def test_the_lesson_computes_what_the_package_computes_bit_for_bit(learnt, tmp_path):
    verb("train", "--config", "configs/lesson.yaml", cwd=tmp_path, check=0)
    ours = parameters(tmp_path / "checkpoints" / "epoch5" / "model.pdparams")
    lesson = by_layer(parameters(learnt[0] / "mnist_epoch5.pdparams"))
    assert lesson.keys() == ours.keys()
    assert all(lesson[name].tobytes() == ours[name].tobytes() for name in ours)


def test_the_lesson_resumes_to_the_same_bits_and_reads_digits(learnt, tmp_path):
    folder, printed = learnt
    for suffix in ("pdparams", "pdopt"):
        (tmp_path / f"mnist_epoch3.{suffix}").symlink_to(folder / f"mnist_epoch3.{suffix}")
    assert learn(tmp_path, "mnist_epoch3") == "".join(printed.splitlines(keepends=True)[3:])
    for suffix in ("pdparams", "pdopt"):
        unbroken, resumed = (
            parameters(place / f"mnist_epoch5.{suffix}") for place in (folder, tmp_path)
        )
        assert unbroken.keys() == resumed.keys()
        # The schedule's step is a number here and an array there.
        assert all(np.array_equal(unbroken[name], resumed[name]) for name in unbroken)
    read, right = printed.splitlines()[-1].replace("eval: ", "").split(" are ")
    assert np.mean(np.array(read.split()) == np.array(right.split())) >= 0.9


def test_the_lesson_is_short_and_plain():
    text = LESSON.read_text()
    assert len(text.splitlines()) <= 120
    assert not re.search(r"^\s*(import|from) (mnist|tools)\b", text, re.MULTILINE)


# --- what the pages say of our models --------------------------------------------------


@pytest.mark.parametrize("name", ["config.md", "config.zh-CN.md"])
def test_the_embeddings_table_has_the_rows_that_the_page_counts(name):
    assert "784 × (`levels` − 1)" in (ROOT / "docs" / name).read_text()
    for levels in (2, 4, 256):
        config = configs.default(["model.name=embedding", f"model.levels={levels}"])
        with dygraph():
            model = architectures.build(config.model, seed=1)
            assert model.embedding.weight.shape[0] == 784 * (levels - 1) + 1
