"""What is there in Chinese says what the English says: headings, code, figures, names, pictures."""

import ast
import calendar
import re
from collections import Counter

import pytest
from helpers import ROOT

ENGLISH = [
    path.with_name(path.name.replace(".zh-CN", ""))
    for path in sorted([*ROOT.glob("*.zh-CN.md"), *ROOT.glob("docs/*.zh-CN.md")])
]
each_pair = pytest.mark.parametrize("english", ENGLISH, ids=lambda path: path.stem)

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(english):
    """The text of both."""
    chinese = english.with_name(f"{english.stem}.zh-CN.md")
    return english.read_text(encoding="utf-8"), chinese.read_text(encoding="utf-8")


def prose(text):
    """Without code blocks, and without where links lead."""
    return re.sub(r"\]\([^)]*\)", "]", BLOCK.sub("", text))


def test_what_learners_read_is_there_in_chinese():
    names = {path.relative_to(ROOT).as_posix() for path in ENGLISH}
    assert names >= {
        "README.md", "docs/config.md", "docs/course.md", "docs/messages.md", "docs/setup.md",
        "docs/using.md",
    }  # fmt: skip


@each_pair
def test_each_links_to_the_other(english):
    ours, theirs = read(english)
    assert f"]({english.stem}.zh-CN.md)" in "\n".join(ours.splitlines()[:4])
    assert f"]({english.name})" in "\n".join(theirs.splitlines()[:4])


@each_pair
def test_the_headings_are_as_many_and_as_deep(english):
    ours, theirs = (
        re.findall(r"^#+ (?:\d+\.)?", BLOCK.sub("", text), re.M) for text in read(english)
    )
    assert ours == theirs


def meaning(kind, code):
    """What code does, without its comments and what <a placeholder> is called."""
    if kind.startswith("python"):
        return kind, ast.dump(ast.parse(code))
    return kind, [re.sub(r"\s+#.*$|<[^>]+>", "", line) for line in code.splitlines()]


@each_pair
def test_the_code_is_the_same_but_for_its_comments(english):
    ours, theirs = ([meaning(*block) for block in BLOCK.findall(text)] for text in read(english))
    assert ours == theirs


# "55 million" is the same as "5,500 万", and "October 2024" as "2024 年 10 月".
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)*(?: million| 万)?")
UNITS = {" million": 1e6, " 万": 1e4}


def figures(text):
    """Every number in the prose, and how often."""
    found = Counter()
    for month, name in enumerate(calendar.month_name[1:], 1):
        text = re.sub(rf"{name} (?=\d{{4}}\b)", f"{month} ", text)
    for number in NUMBER.findall(prose(text)):
        for unit, factor in UNITS.items():
            if number.endswith(unit):
                number = f"{float(number[: -len(unit)].replace(',', '')) * factor:.0f}"
        found[number.replace(",", "").rstrip(".")] += 1
    return found


@each_pair
def test_the_figures_are_the_same(english):
    ours, theirs = map(figures, read(english))
    assert ours == theirs


def names(text):
    """What stands in the prose as code; a line may end inside of it."""
    found = re.findall(r"`((?:[^`\n]|\n(?!\n))+)`", BLOCK.sub("", text))
    return {" ".join(name.split()) for name in found}


@each_pair
def test_the_names_are_the_same(english):
    ours, theirs = map(names, read(english))
    assert ours == theirs


@each_pair
def test_the_pictures_and_tables_are_the_same(english):
    ours, theirs = read(english)
    pictures = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
    assert pictures.findall(ours) == pictures.findall(theirs)
    rows = [
        [line.count("|") for line in text.splitlines() if line.startswith("|")]
        for text in (ours, theirs)
    ]
    assert rows[0] == rows[1]


@each_pair
def test_no_line_of_chinese_is_broken(english):
    """A browser shows a break inside a paragraph as a space, which Chinese has none of."""
    _, theirs = read(english)
    broken = re.findall(r"^[^|#>\n].*\n(?![-*|#>!\n]|\d+\. |\*\[).+", BLOCK.sub("", theirs), re.M)
    assert not broken
