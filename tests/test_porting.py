"""docs/porting.md: both sides of each row are run, where they can be."""

import json
import os
import re
import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest
from helpers import ROOT, environment

PADDLE_3 = "MNIST_PADDLE3_PYTHON"
PAGES = ("porting.md", "porting.zh-CN.md")


def tables(page):
    """The rows of a page's two tables: cells as they stand."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    old = [row for row in rows if re.match(r"`\w*Error`|\*\*", row[2])]
    return old, [row for row in rows if row not in old]


def code(cell):
    return re.match(r"`(.+?)`(?: |:|：|$)", cell + " ")[1]


OLD, NEW = tables(PAGES[0])


@lru_cache(maxsize=None)
def results(python, snippets):
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(ROOT / "tests" / "material" / "porting.py")],
        input=json.dumps(snippets), env=environment() if python == sys.executable else clean,
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(snippets, json.loads(done.stdout.splitlines()[-1])))


def here(rows, column):
    return results(sys.executable, tuple(code(row[column]) for row in rows))


def there(rows, column):
    python = os.environ.get(PADDLE_3) or pytest.skip(f"{PADDLE_3} names no Python with Paddle 3")
    return results(python, tuple(code(row[column]) for row in rows))


def are_equal(one, other):
    one, other = (np.asarray(result["value"]) for result in (one, other))
    # 1.8.5 has no scalars: a mean is [1] there.
    one, other = (each.ravel() if each.size == 1 else each for each in (one, other))
    return one.shape == other.shape and np.allclose(one, other, atol=1e-5)


def test_the_tables_are_whole():
    assert len(OLD) >= 15 and len(NEW) >= 20
    chinese = tables(PAGES[1])
    for rows, others in zip((OLD, NEW), chinese):
        assert [list(map(code, row[:2])) for row in rows] == [
            list(map(code, r[:2])) for r in others
        ]


@pytest.mark.parametrize("row", OLD, ids=lambda row: code(row[0]))
def test_from_1_5_what_is_written_runs_and_what_was_raises_as_said(row):
    assert "value" in here(OLD, 1)[code(row[1])]
    left, said = here(OLD, 0)[code(row[0])], row[2]
    if said.startswith("**"):
        assert left.get("value") == 1, left
    else:
        assert left.get("raised") == re.match(r"`(\w+)`", said)[1], left


def test_a_linear_where_fc_was_takes_the_last_axis():
    found = results(sys.executable, ("Linear(6, 10)(x).shape",))
    assert found["Linear(6, 10)(x).shape"]["value"] == [4, 2, 6, 10]


@pytest.mark.parametrize("row", NEW, ids=lambda row: code(row[0]))
def test_to_3_both_sides_give_the_same(row):
    before = here(NEW, 0)[code(row[0])]
    assert "value" in before, before
    after = there(NEW, 1)[code(row[1])]
    assert are_equal(before, after)


SILENT = [row for row in NEW if re.match(r"`[^`]+\S`:", row[2])]


@pytest.mark.parametrize("row", SILENT, ids=lambda row: code(row[0]))
def test_to_3_what_is_said_to_go_wrong_silently_does(row):
    before, wrong = here(NEW, 0)[code(row[0])], there(SILENT, 2)[code(row[2])]
    assert "value" in wrong and not are_equal(before, wrong)
