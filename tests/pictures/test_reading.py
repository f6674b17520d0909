"""Pictures of all kinds brought into MNIST's form, and what is none of the ten told from digits."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import PROJECT, ROOT, digits, environment
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist.base.errors import InputError
from mnist.data import course_json, idx
from mnist.model.predictor import Predictor
from mnist.pictures import normalize, reading, refusal, weights
from mnist.pictures.normalize import FoundDigit, NotOneDigit
from tests.material import absurd, dresses
from tests.material.drawings import seven

SAMPLES = ROOT / "data" / "samples"
SHEETS = SAMPLES / "sheets"
WORDS = "zero one two three four five six seven eight nine".split()


def alike(left, right):
    """How well two 28×28 images agree: 1 where they are the same."""
    blurred = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2) for image in (left, right)]
    return float(np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1])


def png(picture):
    return cv2.imencode(".png", picture if picture.ndim == 2 else picture[..., ::-1])[1].tobytes()


def digit_of(picture):
    return reading.read_digit(png(picture))


def digits_of(picture):
    return reading.read_digits(png(picture))[1]


@pytest.fixture(scope="module")
def reference():
    return digit_of(seven())


# --- one digit ---


@pytest.mark.parametrize("size, pen", [(40, 4), (120, 1), (120, 16), (1000, 4), (1500, 90)])
def test_any_size_and_pen(reference, size, pen):
    assert alike(digit_of(seven(size, pen)), reference) > 0.85


def test_light_ink_is_the_same_as_dark(reference):
    assert alike(digit_of(255 - seven()), reference) > 0.99


@pytest.mark.parametrize("top, left", [(2, 2), (370, 10), (10, 370), (200, 100)])
def test_off_centre(reference, top, left):
    paper = np.full((500, 500), 255, np.uint8)
    paper[top : top + 120, left : left + 120] = seven()
    assert alike(digit_of(paper), reference) > 0.97


@pytest.mark.parametrize(
    "paper, ink", [((250, 235, 150), (20, 20, 120)), ((40, 90, 50), (250, 250, 230))]
)
def test_coloured_ink_on_coloured_paper(reference, paper, ink):
    share = seven()[..., None] / 255
    picture = np.uint8(share * paper + (1 - share) * np.array(ink))
    assert alike(digit_of(picture), reference) > 0.95


def test_uneven_light_and_noise(reference):
    light = np.linspace(1, 0.5, 240)[None, :] * np.linspace(1, 0.8, 240)[:, None]
    noise = np.random.RandomState(1).normal(0, 6, (240, 240))
    picture = np.clip(seven(240, 20) * 0.8 * light + 20 + noise, 0, 255).astype(np.uint8)
    assert alike(digit_of(picture), reference) > 0.9


@pytest.mark.parametrize("inverted", [False, True])
def test_a_frame_is_not_ink(reference, inverted):
    picture = np.pad(seven(240, 20), 24, constant_values=255)
    cv2.rectangle(picture, (8, 8), (279, 279), 0, 4)
    assert alike(digit_of(255 - picture if inverted else picture), reference) > 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (300, 200), (1, 5000), (5000, 1)])
def test_one_level_has_no_ink(level, shape):
    with pytest.raises(NotOneDigit, match="no ink found") as caught:
        digit_of(np.full(shape, level, np.uint8))
    assert caught.value.reason == "no writing"


def test_samples_are_read_as_their_names_say():
    pictures = sorted(SAMPLES.glob("*.png"))
    assert len(pictures) == 9
    assert all(normalize.is_mnist_form(reading.read_digit(picture)) for picture in pictures)
    read = Predictor(ROOT / "data" / "pretrained").predict(pictures)
    names = [picture.stem.split("-")[0] for picture in pictures]
    assert [each.digit for each in read] == [WORDS.index(name) for name in names]
    assert not any(each.reason for each in read)


def test_several_digits_are_said_to_be_several(tmp_path):
    picture, _ = sheet(("31",))
    cv2.imwrite(str(tmp_path / "two.png"), picture)
    with pytest.raises(NotOneDigit, match=r"two\.png: several digits.*--many") as caught:
        reading.read_digit(tmp_path / "two.png")
    assert caught.value.reason == "several digits"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_any_pixels(height, width, seed, share):
    rng = np.random.RandomState(seed)
    picture = np.where(rng.rand(height, width) < share, rng.randint(256), rng.randint(256))
    try:
        assert digit_of(picture.astype(np.uint8)).shape == (28, 28)
    except NotOneDigit:
        pass


# --- what is drawn in one piece on plain paper ---


def test_a_hairline_on_plain_paper_is_whole():
    (fine,), is_certain, _ = reading.drawn_in_one_piece(seven(600, 1))
    assert is_certain
    assert alike(fine, reading.drawn_in_one_piece(seven(600, 40))[0][0]) > 0.9


@pytest.mark.parametrize("pen, is_certain", [(20, True), (2, False)])
def test_what_may_be_an_outline_is_not_certain(pen, is_certain):
    paper = np.full((300, 300), 255, np.uint8)
    found, said, _ = reading.drawn_in_one_piece(cv2.circle(paper, (150, 150), 80, 0, pen))
    assert len(found) == 1 and said == is_certain


@pytest.mark.parametrize(
    "mark",
    [
        lambda paper: cv2.circle(paper, (10, 10), 4, 0, -1),  # a second piece
        lambda paper: cv2.line(paper, (0, 10), (299, 10), 225, 1),  # a faint line
        lambda paper: cv2.line(paper, (150, 250), (150, 299), 0, 8),  # at the picture's edge
        lambda paper: np.clip(paper.astype(int) - np.arange(300) // 10, 0, 255).astype(np.uint8),
    ],
)
def test_paper_with_anything_else_on_it_is_not_plain(mark):
    assert reading.drawn_in_one_piece(seven(300, 20))[1]
    marked = seven(300, 20)
    done = mark(marked)
    assert reading.drawn_in_one_piece(marked if done is None else done) == ([], False, 0)


# --- what already has MNIST's form ---


def test_real_mnist_is_left_as_it_is(real_mnist):
    for digit in idx.read_images(real_mnist / "t10k-images-idx3-ubyte.gz")[0][:2000]:
        assert np.array_equal(digit_of(digit), digit)
        assert np.array_equal(digit_of(255 - digit), digit)


def test_the_bundled_digits_are_left_as_they_are():
    for images, _ in course_json.read(PROJECT / "data" / "digits.json.gz").splits:
        assert all(np.array_equal(digit_of(digit), digit) for digit in images)


def test_a_digit_in_colour_is_left_as_it_is():
    digit = digits().eval.images[0]
    assert np.array_equal(digit_of(np.dstack([digit] * 3)), digit)


# --- many digits ---


def sheet(lines=("314", "15926"), size=60, pen=2.0, rise=0.0):
    """Real digits in lines on white paper, and the box of each, in reading order."""
    data = digits().train
    height, width = 110 * len(lines), 90 * max(map(len, lines)) + 40
    paper, boxes = np.zeros((height, width), np.float32), []
    for row, text in enumerate(lines):
        for column, digit in enumerate(text):
            image = data.images[np.flatnonzero(data.labels == int(digit))[row + column]]
            large = cv2.resize(dresses.with_pen(image, pen), (size, size))
            top = int(110 * row + 25 - rise * 90 * column)
            left = 90 * column + 20
            paper[top : top + size, left : left + size] = large
            boxes.append((left, top, size, size))
    return np.rint(255 * (1 - paper)).astype(np.uint8), boxes


def inside(found, box):
    left, top, width, height = box
    x, y = found.box[0] + found.box[2] / 2, found.box[1] + found.box[3] / 2
    return left < x < left + width and top < y < top + height


def right(found, boxes):
    return len(found) == len(boxes) and all(map(inside, found, boxes))


def test_digits_are_found_in_reading_order_and_in_mnists_form():
    picture, boxes = sheet(("314", "7926"))
    found = digits_of(picture)
    assert right(found, boxes)
    assert [digit.line for digit in found] == [0] * 3 + [1] * 4
    assert all(normalize.is_mnist_form(digit.image) for digit in found)


@pytest.mark.parametrize("inverted", [False, True])
def test_light_ink_and_colour(inverted):
    picture, boxes = sheet(("314", "7926"))
    picture = 255 - picture if inverted else picture
    assert right(digits_of(np.dstack([picture] * 3)), boxes)


def test_a_line_may_rise():
    image = np.zeros((28, 28), np.uint8)
    found = [FoundDigit((30 * i, 100 - 8 * i, 20, 30), image, 30) for i in range(8)]
    below = [FoundDigit((30 * i, 170 - 8 * i, 20, 30), image, 30) for i in range(8)]
    lines = reading.in_lines(below[::-1] + found[::-1])
    assert [[digit.box for digit in line] for line in lines] == [
        [digit.box for digit in found],
        [digit.box for digit in below],
    ]


def test_boxes_are_in_the_pixels_of_the_file_and_not_of_what_was_decoded(tmp_path):
    picture, boxes = sheet(("31", "79"))
    large = cv2.resize(picture, None, fx=20, fy=20, interpolation=cv2.INTER_LINEAR)
    Image.fromarray(large).save(tmp_path / "large.jpg")
    pixels, found = reading.read_digits(tmp_path / "large.jpg")
    assert pixels.reduced == 2 and pixels.values.shape == (2200, 2200)
    assert right(found, [tuple(20 * side for side in box) for box in boxes])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_page_of_one_level_has_no_digits(level):
    with pytest.raises(NotOneDigit, match="no ink found"):
        digits_of(np.full((300, 400), level, np.uint8))


def test_the_sample_sheets():
    counts = {"ruled-paper.jpg": [8, 4, 7], "squared-paper-on-a-table.jpg": [4, 5, 3]}
    assert {path.name for path in SHEETS.iterdir()} == set(counts)
    for name, expected in counts.items():
        _, found = reading.read_digits(SHEETS / name)
        assert np.bincount([digit.line for digit in found]).tolist() == expected


# --- what is no digit ---


def refused(kind, count=10):
    """How many of ``count`` absurd pictures are no digit, as the finder or the refusal says."""
    found = 0
    for seed in range(count):
        try:
            digit = digit_of(absurd.ABSURD[kind](np.random.RandomState(seed)))
        except NotOneDigit:
            found += 1
        else:
            found += int(refusal.shared().judge(digit[None])[0][0] > 0)
    return found


@pytest.mark.parametrize("kind", sorted(absurd.BLANK))
def test_blank_paper_in_any_light_is_refused(kind):
    assert refused(kind) >= 9


@pytest.mark.parametrize(
    "kind", ["noise", "checkerboard", "squared paper", "paragraph", "barcode", "code of squares",
             "filled page"],
)  # fmt: skip
def test_what_is_built_like_no_digit_is_refused(kind):
    assert refused(kind) >= 8


def test_hardly_any_real_digit_is_refused(real_mnist):
    images = idx.read_images(real_mnist / "t10k-images-idx3-ubyte.gz")[0]
    doubts, _ = refusal.shared().judge(images)
    assert doubts.shape == (10_000,) and np.isfinite(doubts).all()
    assert np.mean(doubts > 0) <= 0.01


def test_no_images_are_judged_as_none():
    doubts, reasons = refusal.shared().judge(np.zeros((0, 28, 28), np.uint8))
    assert len(doubts) == 0 and reasons == []


# --- the files of the networks ---


def broken(folder, name, content):
    for path in (PROJECT / weights.FOLDER).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("finder.pdparams", b"x", r"finder.pdparams: is damaged .*SHA-256"),
        ("state.json", b"{", r"state.json: is not valid JSON"),
        ("state.json", b"{}", r"finder.pdparams: is damaged"),
    ],
)
def test_damaged_weights_are_one_line(tmp_path, name, content, message):
    broken(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        weights.load("finder", tmp_path)


def test_weights_of_another_network_are_one_line():
    with pytest.raises(InputError, match="another network's"):
        refusal.Refusal(weights.load("finder")[0])


def test_missing_weights_are_one_line_before_any_picture(tmp_path):
    shutil.copytree(PROJECT / "mnist", tmp_path / "mnist")
    done = subprocess.run(
        [sys.executable, "-m", "mnist.predict", *[str(SAMPLES / "seven.png")] * 3,
         "--checkpoint", str(PROJECT / "data" / "pretrained")],
        cwd=tmp_path, env=environment({"PYTHONPATH": str(tmp_path)}), capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "data/pretrained-finder" in done.stderr
