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
    "blank-box_single-0-isnone.jpg",
    "blank-box_single-1-isnone.jpg",
    "blank-is-no-digit.jpg",
    "blank-margin_and_holes-0-isnone.jpg",
    "blank-margin_and_holes-1-isnone.jpg",
    "circled-1-is3.jpg",
    "circled-2-is7.jpg",
    "defocus-1-is3.jpg",
    "defocus-2-is7.jpg",
    "defocus-3-is8.jpg",
    "defocus-4-is7.jpg",
    "desk-1-is3.jpg",
    "desk-2-is7.jpg",
    "desk-3-is8.jpg",
    "desk-4-is8.jpg",
    "drawn-6.gif",
    "exif3-4-lzw.tif",
    "exif6-4-lzw.tif",
    "exif8-4-lzw.tif",
    "form_box-1-is3.jpg",
    "form_box-2-is7.jpg",
    "form_box-3-is8.jpg",
    "graph_paper-1-is3.jpg",
    "graph_paper-2-is9.jpg",
    "graph_paper-3-is3.jpg",
    "hand-shadow-is9.jpg",
    "hand_shadow-1-is3.jpg",
    "hand_shadow-2-is7.jpg",
    "hand_shadow-3-is3.jpg",
    "house-number-is1.jpg",
    "letter-is-no-digit.png",
    "margin_and_holes-1-is8.jpg",
    "margin_and_holes-2-is2.jpg",
    "note-on-desk-is4.jpg",
    "plain-mnist-eval-is1.png",
    "seven-segment-is6.jpg",
    "small-in-corner-is8.png",
    "thick-and-thin-font-is2.png",
    "tilted-is1.png",
    "two_digits-0-isNone.jpg",
    "two_digits-1-isNone.jpg",
    "two_digits-2-isNone.jpg",
    "underlined-1-is7.jpg",
    "underlined-2-is8.jpg",
    "underlined-3-is7.jpg",
}
NOT_YET_IN_FOLDERS = {"seven.jfif", "seven.pbm"}


def due(name):
    """The digit that a picture's name promises; None where nothing may be called a digit."""
    if name in UNSAID:
        return UNSAID[name]
    if name.startswith("exif"):
        return 4
    said = SAID.search(name).group(1)
    return int(said) if said.isdigit() else None


def names(not_yet):
    return [
        pytest.param(path.name, marks=[pytest.mark.xfail] if path.name in not_yet else [])
        for path in sorted(CASES.iterdir())
    ]


@pytest.mark.parametrize("name", names(NOT_YET))
def test_a_picture_gives_what_its_name_says(name):
    (reading,) = reader.read([(CASES / name).read_bytes()])
    if due(name) is None:
        assert not reading.sure
    else:
        assert (reading.digit, reading.sure) == (due(name), True)


@pytest.mark.parametrize("name", names(NOT_YET_IN_FOLDERS))
def test_a_picture_in_a_folder_is_not_skipped(name):
    assert name in reader.in_folder(CASES)


def test_only_pictures_that_exist_are_waited_for():
    there = {path.name for path in CASES.iterdir()}
    assert there >= NOT_YET | NOT_YET_IN_FOLDERS | set(UNSAID)
