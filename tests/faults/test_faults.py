"""A little of every fault of ``tests/faults``; all of it: ``./run python -m tests.faults``."""

import re

import pytest
from helpers import ROOT

from faults import report
from faults.__main__ import SECTIONS
from faults.report import Options


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return Options(tmp_path_factory.mktemp("faults"), kills=2, fuzz=60, jobs=1)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_few_faults_of_each_kind_are_survived(options, section):
    for row in SECTIONS[section](options):
        print(report.progress(row))
        assert row.ok, row.broken


def test_the_tests_that_the_document_names_exist():
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(\w+))?`", report.DOCUMENT.read_text())
    assert len(named) > 20
    for file, test in named:
        texts = [path.read_text() for path in (ROOT / "tests").rglob(file)]
        assert any(f"def {test}" in text for text in texts), (file, test)
