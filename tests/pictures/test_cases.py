"""Pictures that were read wrongly once, each a sample of its kind, give what their names say."""

import re

import pytest

from tests.material import reader

CASES = reader.ROOT / "tests" / "material" / "cases"
# As in "desk-1-is3.jpg", "letter-is-no-digit.png", "two_digits-0-isNone.jpg", "anim-6.webp".
SAID = re.compile(r"-is(\d|-?no)", re.IGNORECASE)
UNSAID = {"anim-6.webp": 6, "drawn-6.gif": 6, "seven.jfif": 7, "seven.pbm": 7}

# What is not reached yet. A picture that begins to be read has to leave the list.
NOT_YET = {
    "blank-margin_and_holes-0-isnone.jpg",
    "blank-margin_and_holes-1-isnone.jpg",
}


def due(name):
    """The digit that a picture's name promises; None where nothing may be called a digit."""
    if name in UNSAID:
        return UNSAID[name]
    if name.startswith("exif"):
        return 4
    said = SAID.search(name).group(1)
    return int(said) if said.isdigit() else None


def names():
    return [
        pytest.param(path.name, marks=[pytest.mark.xfail] if path.name in NOT_YET else [])
        for path in sorted(CASES.iterdir())
    ]


@pytest.mark.parametrize("name", names())
def test_a_picture_gives_what_its_name_says(name):
    (reading,) = reader.read([(CASES / name).read_bytes()])
    if due(name) is None:
        assert not reading.sure
    else:
        assert (reading.digit, reading.sure) == (due(name), True)


def test_no_picture_in_a_folder_is_skipped():
    assert reader.in_folder(CASES) == sorted(path.name for path in CASES.iterdir())


def test_only_pictures_that_exist_are_waited_for():
    there = {path.name for path in CASES.iterdir()}
    assert there >= NOT_YET | set(UNSAID)
