"""The course's file format: what is read, what is written, and every fault as one line."""

import gzip
import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from mnist.base.errors import Failure, InputError
from mnist.data import course_json

RANDOM = np.random.RandomState(1)


def digits(*counts):
    """Random splits of the given numbers of images."""
    return [
        (
            RANDOM.randint(0, 256, (count, 28, 28)).astype(np.uint8),
            RANDOM.randint(0, 10, count).astype(np.int64),
        )
        for count in counts
    ]


def document(*counts):
    """The same as JSON-ready lists of integers."""
    return [
        [images.reshape(-1, 784).tolist(), labels.tolist()] for images, labels in digits(*counts)
    ]


def packed(value):
    text = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return gzip.compress(text.encode() if isinstance(text, str) else text, 1, mtime=0)


def pack(splits, pixels="floats", **options):
    """The bytes of a file that holds these splits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.json.gz"
        course_json.write(path, splits, pixels, **options)
        return path.read_bytes()


def read_bytes(folder, content, **options):
    path = folder / "digits.json.gz"
    path.write_bytes(content)
    return course_json.read(path, **options)


def fault(folder, content, **options):
    """The one line that reading ``content`` ends with, without the path in front."""
    with pytest.raises(InputError) as caught:
        read_bytes(folder, content, **options)
    line = str(caught.value)
    prefix = f"{folder / 'digits.json.gz'}: "
    assert line.startswith(prefix)
    assert "\n" not in line
    return line[len(prefix) :]


def assert_same(content, splits):
    for (images, labels), (expected_images, expected_labels) in zip(content.splits, splits):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


# --- reading what is right ---


@pytest.mark.parametrize("pixels", ["floats", "integers"])
def test_round_trip(tmp_path, pixels):
    splits = digits(7, 3, 2)
    content = read_bytes(tmp_path, pack(splits, pixels))
    assert_same(content, splits)
    whole = (tmp_path / "digits.json.gz").read_bytes()
    assert content.sha256 == hashlib.sha256(whole).hexdigest()


def levels(maximum):
    """Images of the kinds that are hard to tell apart: blank, black and white, any."""
    pixel = st.one_of(st.just(0), st.sampled_from([0, 1, maximum]), st.integers(0, maximum))
    return st.integers(1, 3).flatmap(
        lambda count: arrays_of.arrays(np.uint8, (count, 28, 28), elements=pixel)
    )


@given(
    images=st.tuples(levels(255), levels(255), levels(255)),
    pixels=st.sampled_from(["floats", "integers"]),
    block_size=st.sampled_from([1, 7, 1000, 4096, 1 << 20]),
    indent=st.sampled_from([None, 0, 1]),
)
@settings(deadline=None, max_examples=40)
def test_any_splits_round_trip_whatever_the_blocks(
    tmp_path_factory, images, pixels, block_size, indent
):
    splits = [(split, np.arange(len(split), dtype=np.int64) % 10) for split in images]
    if max(split.max() for split in images) == 1:
        pixels = "floats"
    content = pack(splits, pixels)
    if indent is not None:
        text = json.dumps(json.loads(gzip.decompress(content)), indent=indent)
        content = packed(text)
    read = read_bytes(tmp_path_factory.getbasetemp(), content, block_size=block_size)
    assert_same(read, splits)


def test_block_boundaries_at_every_byte_of_the_places_that_matter(tmp_path):
    splits = digits(2, 1, 1)
    text = gzip.decompress(pack(splits, "integers"))
    spaced = text.replace(b"]", b" ] ").replace(b"[", b" [ ").replace(b",", b" , ")
    for content in (packed(text), packed(spaced)):
        for block_size in range(len(spaced) // 3, len(spaced) // 3 + 40):
            assert_same(read_bytes(tmp_path, content, block_size=block_size), splits)


def as_floats(scale, dtype=float, digits_kept=17):
    def convert(images):
        values = (images.astype(dtype) / dtype(scale)).reshape(len(images), 784)
        return [[round(float(value), digits_kept) for value in row] for row in values]

    return convert


@pytest.mark.parametrize(
    "convert",
    [
        as_floats(255),
        as_floats(255, np.float32),
        as_floats(255, digits_kept=8),
        as_floats(255, digits_kept=6),
        as_floats(256),
        as_floats(256, np.float32),
        as_floats(256, digits_kept=8),
        as_floats(1),
        lambda images: images.reshape(-1, 784).tolist(),
    ],
    ids="255 255-float32 255-8-digits 255-6-digits 256 256-float32 256-8-digits 1.0 int".split(),
)
def test_works_out_the_scale(tmp_path, convert):
    every_level = np.arange(784, dtype=np.int64).reshape(1, 28, 28) % 256
    blank = np.zeros_like(every_level)
    splits = [(np.concatenate([blank, every_level]).astype(np.uint8), np.array([0, 1]))] * 3
    text = json.dumps([[convert(images), labels.tolist()] for images, labels in splits])
    for block_size in (1000, 1 << 18):
        assert_same(read_bytes(tmp_path, packed(text), block_size=block_size), splits)


@pytest.mark.parametrize(
    ("first", "telling", "levels"),
    [(1, 0.2, [255, 51]), (1, 2, [1, 2]), (1.0, 1, [255, 255]), (0, 0.5, [0, 128])],
)
def test_the_first_telling_number_explains_the_zeros_and_ones_before_it(
    tmp_path, first, telling, levels
):
    # The telling number is in the last split, all else is 0 or 1.
    values = [[[[first] * 784], [0]], [[[0] * 784], [0]], [[[telling] * 784], [0]]]
    content = read_bytes(tmp_path, packed(values))
    assert [int(images[0, 0, 0]) for images, _ in content.splits] == [levels[0], 0, levels[1]]


def test_a_whole_number_written_as_a_float_is_a_label(tmp_path):
    values = document(1, 1, 1)
    values[0][1] = [7.0]
    assert read_bytes(tmp_path, packed(values)).splits[0][1].tolist() == [7]


def test_several_gzip_members_and_zero_padding_are_one_file(tmp_path):
    splits = digits(2, 1, 1)
    text = gzip.decompress(pack(splits))
    content = gzip.compress(text[:5000], mtime=0) + gzip.compress(text[5000:], mtime=0) + bytes(100)
    assert_same(read_bytes(tmp_path, content), splits)


def test_names_of_classes_may_hold_brackets_and_spaces(tmp_path):
    names = ["a]", "[b", "c  d"]
    splits = [(images, labels % 3) for images, labels in digits(2, 1, 1)]
    for block_size in (1, 1000, 1 << 18):
        packed_names = pack(splits, classes=names)
        content = read_bytes(tmp_path, packed_names, block_size=block_size)
        assert content.classes == names
        assert_same(content, splits)


def test_json_load_agrees_with_ours(tmp_path):
    """What the course's own line reads from our file is what we read from it."""
    path = tmp_path / "digits.json.gz"
    course_json.write(path, digits(5, 2, 2))
    with gzip.open(path) as file:
        theirs = json.load(file)
    for (images, labels), (their_images, their_labels) in zip(
        course_json.read(path).splits, theirs
    ):
        expected = (images.reshape(-1, 784).astype(np.float32) / np.float32(255)).astype(np.float32)
        np.testing.assert_array_equal(np.array(their_images, np.float32), expected)
        np.testing.assert_array_equal(their_labels, labels)


# --- writing ---


def test_the_same_splits_give_the_same_bytes(tmp_path):
    splits = digits(3, 2, 1)
    course_json.write(tmp_path / "one.json.gz", splits)
    assert (tmp_path / "one.json.gz").read_bytes() == pack(splits)


def test_ones_as_integers_are_refused(tmp_path):
    splits = [(np.ones((1, 28, 28), np.uint8), np.array([1]))] * 3
    with pytest.raises(InputError, match="only 0 and 1"):
        pack(splits, "integers")
    assert_same(read_bytes(tmp_path, pack(splits)), splits)


def test_an_unknown_form_of_pixels_is_refused():
    with pytest.raises(InputError, match="'bytes' must be floats or integers"):
        pack(digits(1, 1, 1), "bytes")


def test_what_the_disk_refuses_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(Failure, match="taken: cannot be written"):
        course_json.write(tmp_path / "taken", digits(1, 1, 1))
    assert os.listdir(tmp_path) == ["taken"]


# --- faults of the file and of gzip ---


def test_faults_of_the_file(tmp_path):
    path = tmp_path / "digits.json.gz"
    with pytest.raises(InputError, match="No such file"):
        course_json.read(path)
    with pytest.raises(InputError, match="it is a folder"):
        course_json.read(tmp_path)
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        course_json.read(path)
    with pytest.raises(InputError, match="null"):
        course_json.read("digits\0.json.gz")


def test_no_permission(tmp_path):
    path = tmp_path / "digits.json.gz"
    path.write_bytes(pack(digits(1, 1, 1)))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # Nobody; root may read everything.
    try:
        with pytest.raises(InputError, match="Permission denied"):
            course_json.read(path)
    finally:
        os.seteuid(user)


WHOLE = pack(digits(4, 2, 2))
MIDDLE = len(WHOLE) // 2


GZIP_FAULTS = [
    (b"", "is empty"),
    (gzip.decompress(WHOLE), "is not a whole gzip file (Not a gzipped file"),
    (b"PK\x03\x04", "is not a whole gzip file (Not a gzipped file"),
    (WHOLE[:1], "is not a whole gzip file (Not a gzipped file"),
    (WHOLE[:5], "file ended before the end"),
    (WHOLE[:MIDDLE], "file ended before the end"),
    (WHOLE[:-1], "file ended before the end"),
    (WHOLE[:-8] + bytes(4) + WHOLE[-4:], "CRC check failed"),
    (WHOLE[:-4] + struct.pack("<I", 5), "Incorrect length of data"),
    (WHOLE[:2] + b"\x07" + WHOLE[3:], "is not a whole gzip file ("),
    (WHOLE[:20] + bytes(100) + WHOLE[120:], "is not a whole gzip file ("),
    (WHOLE + b"garbage", "is not a whole gzip file (Not a gzipped file (b'ga'))"),
]


@pytest.mark.parametrize(("content", "words"), GZIP_FAULTS, ids=[words for _, words in GZIP_FAULTS])
def test_faults_of_gzip(tmp_path, content, words):
    assert words in fault(tmp_path, content)


def test_gzip_bombs(tmp_path):
    blank_image = b"[" + b",".join([b"0"] * 784) + b"]"
    images = b"[[[" + b",".join([blank_image] * 60_000)
    assert "gzip bomb" in fault(tmp_path, gzip.compress(images, mtime=0))
    assert "train image 0 does not end within" in fault(tmp_path, packed(b"[" + b" " * (80 << 20)))
    # Less than 64 MiB is no bomb, however well it packs.
    text = b"[" + b",".join([b"[[" + blank_image + b"],[0]]"] * 3) + b" " * (1 << 20) + b"]"
    assert len(read_bytes(tmp_path, packed(text)).splits) == 3


# --- faults of the JSON ---


def cut(text, where, new):
    """``text`` with the first ``where`` replaced."""
    assert where in text
    return text.replace(where, new, 1)


IMAGE = "[" + ",".join(["0.5"] * 784) + "]"
SPLIT = f"[[{IMAGE},{IMAGE}],[1,2]]"
GOOD = f"[{SPLIT},{SPLIT},{SPLIT}]"


CONTENT_FAULTS = [
    ("", "ends before the end of train image 0; the file should be [[images, labels], "),
    ("{}", "ends before the end of train image 0"),
    ("\ufeff" + GOOD, "before train image 0: expected '[[[', found "),
    ("[]", "before train image 0: expected '[[[', found ''"),
    (f"[{SPLIT}]", "ends before the end of valid image 0"),
    (f"[{SPLIT},{SPLIT}]", "ends before the end of eval image 0"),
    (
        f"[{SPLIT},{SPLIT},{SPLIT},{SPLIT}]",
        "after the eval labels: expected ']]' or the names of classes ([[",
    ),
    (GOOD + "x", "after the eval labels: expected ']]' or the names of classes (Extra data"),
    (GOOD + GOOD, "after the eval labels: expected ']]' or the names of classes (Extra data"),
    (GOOD[:-1], "after the eval labels: expected ']]'"),
    (GOOD[:10_000], "ends before the end of valid image 1"),
    (GOOD[:100], "ends before the end of train image 0"),
    (f"[{IMAGE}]", "before train image 0: expected '[[[', found '['"),
    (f"[[{IMAGE},[1]]]", "before train image 0: expected '[[[', found '[['"),
    (
        cut(GOOD, SPLIT, f"[[{IMAGE}]]"),
        "before train image 1 or the train labels: expected ',' or '],', found ']],[['",
    ),
    (cut(GOOD, SPLIT, "[[],[]]"), "before train image 0: expected '[[[', found '[['"),
    (cut(GOOD, "],[1,2]]", "],[1,2],[3]]"), "train has 2 images but 2 + 1 labels"),
    (cut(GOOD, ",[1,2]", ",12"), "the train labels: expected ',' or '],', found '],12]"),
    (cut(GOOD, ",[1,2]", ',{"a":1}'), "the train labels: expected ',' or '],', found '],{"),
    (cut(GOOD, ",[1,2]", ",[[1],2]"), "the train labels: expected ',' or '],', found '],['"),
    (cut(GOOD, ",[1,2]", ",[1,2,3]"), "train has 2 images but 3 labels"),
    (cut(GOOD, ",[1,2]", ",[]"), "train has 2 images but 0 labels"),
    (cut(GOOD, ",[1,2]", ",[1,10]"), "train label 1 is 10,"),
    (cut(GOOD, ",[1,2]", ",[1,-1]"), "train label 1 is -1,"),
    (cut(GOOD, ",[1,2]", ",[1.5,2]"), "train label 0 is 1.5,"),
    (cut(GOOD, ",[1,2]", ",[1e300,2]"), "train label 0 is 1e+300,"),
    (cut(GOOD, ",[1,2]", ",[1,NaN]"), "train labels holds NaN"),
    (cut(GOOD, ",[1,2]", ",[1,null]"), "train labels holds null, not a finite number"),
    (cut(GOOD, ",[1,2]", ",[1,true]"), "train labels holds true, not a finite number"),
    (cut(GOOD, ",[1,2]", ',[1,"2"]'), 'train labels holds "2", not a finite number'),
    (cut(GOOD, ",[1,2]", ",[1,2"), "train labels is no list of numbers"),
    (cut(GOOD, "0.5,", ""), "train image 0 has 783 numbers"),
    (cut(GOOD, f",{IMAGE}", f",{IMAGE[:-1]},0.5]"), "train image 1 has 785 numbers"),
    (cut(GOOD, f",{IMAGE}", ",[]"), "train image 1 has 0 numbers"),
    (cut(GOOD, f",{IMAGE}", ",7"), "train image 1 is no list of numbers"),
    (cut(GOOD, f",{IMAGE}", ","), "train image 1 is no list of numbers"),
    (cut(GOOD, "0.5,", "[0.5],"), "before train image 0: expected '[[[', found '[[[['"),
    (cut(GOOD, ",0.5]", ",[0.5]]"), "before train image 0: expected '[[[', found '[[[[0.5,0.5,"),
    (GOOD[::-1].replace("]5.0,", "]]5.0[,", 1)[::-1], "eval image 1 is no list of numbers"),
    (cut(GOOD, IMAGE, f"[{IMAGE}]"), "before train image 0: expected '[[[', found '[[[['"),
    (cut(GOOD, "0.5,", "0.5 "), "train image 0 is no list of numbers"),
    (cut(GOOD, "0.5,", "0.5,,"), "train image 0 is no list of numbers"),
    (cut(GOOD, "0.5,", "0.5.5,"), "train image 0 is no list of numbers"),
    (cut(GOOD, "0.5,", ".5,"), "train image 0 is no list of numbers"),
    (cut(GOOD, "0.5,", "1e999,"), "train image 0 holds Infinity"),
    (cut(GOOD, "0.5,", "NaN,"), "train image 0 holds NaN, not a finite number"),
    (cut(GOOD, "0.5,", "-Infinity,"), "train image 0 holds -Infinity, not a finite number"),
    (cut(GOOD, "0.5,", "null,"), "train image 0 holds null, not a finite number"),
    (cut(GOOD, "0.5,", "true,"), "train image 0 holds true, not a finite number"),
    (cut(GOOD, "0.5,", '"0.5",'), 'train image 0 holds "0.5", not a finite number'),
    (cut(GOOD, "0.5,", "{},"), "train image 0 holds {}, not a finite number"),
    (cut(GOOD, f"{IMAGE},", f"{IMAGE} "), "broken JSON between train image 0 and train image 1"),
    (cut(GOOD, f"{IMAGE},{IMAGE}", f"{IMAGE},{IMAGE},"), "train image 2"),
    (cut(GOOD, "0.5,", "0.51,"), "train image 0 holds 0.51, neither"),
    (GOOD[::-1].replace("]5.0", "]15.0", 1)[::-1], "eval image 1 holds 0.51, not k/256"),
    (GOOD[::-1].replace("]5.0", "]2", 1)[::-1], "eval image 1 holds 2, not k/256"),
    (GOOD[::-1].replace("]5.0", "]1", 1)[::-1], "eval image 1 holds 1, not k/256"),
    (cut(GOOD, "0.5,", "1,"), "train image 0 holds 1, not k/256"),
    (cut(GOOD, "0.5,", "-1,"), "train image 0 holds -1, neither"),
    (cut(GOOD, "0.5,", "256,"), "train image 0 holds 256, neither"),
    (cut(GOOD, "0.5,", "1e300,"), "train image 0 holds 1e+300, neither"),
    (cut(GOOD, "0.5,", "2,"), "train image 0 holds 0.5, not a whole number"),
    (cut(GOOD, "0.5,", "0.2,"), "train image 0 holds 0.5, not k/255"),
    (cut(GOOD, "0.5,0.5", "0.2,1e300"), "train image 0 holds 1e+300, not k/255"),
    (cut(GOOD, "0.5,0.5", "2,1e300"), "train image 0 holds 1e+300, not a whole number"),
    (cut(GOOD, "0.5,0.5", "0.2,-0.2"), "train image 0 holds -0.2, not k/255"),
    (cut(GOOD, "0.5,", " " * 600_000 + "0.5,"), "does not end within"),
    (cut(GOOD, ",[1,2]", ",[1,2" + " " * 1_200_000), "does not end within"),
]


# The texts themselves are too long for the names of tests.
@pytest.mark.parametrize(
    ("text", "words"), CONTENT_FAULTS, ids=[words for _, words in CONTENT_FAULTS]
)
def test_faults_of_the_content(tmp_path, text, words):
    content = packed(text)
    assert words in fault(tmp_path, content)
    # Small blocks meet the same fault, though they may stop before its end.
    if len(text) < 100_000:
        fault(tmp_path, content, block_size=1000)


def test_the_image_is_named_in_any_block(tmp_path):
    values = document(30, 1, 1)
    values[0][0][23][700] = 256
    for block_size in (1000, 1 << 18):
        line = fault(tmp_path, packed(values), block_size=block_size)
        assert "train image 23 holds 256, not a whole number 0 to 255" in line


def test_nothing_after_the_end_is_overlooked(tmp_path, monkeypatch):
    monkeypatch.setattr(course_json, "_MAX_NAMES_TEXT", 10)
    for spaces in range(7, 11):
        content = packed(GOOD + " " * spaces + "x")
        line = fault(tmp_path, content, block_size=1)
        assert "after the eval labels: expected ']]'" in line


def test_too_many_images(tmp_path, monkeypatch):
    monkeypatch.setattr(course_json, "MAX_IMAGES", 3)
    assert "train has more than 3 images" in fault(tmp_path, packed(document(4, 1, 1)))


SMALL = digits(1, 1, 1)
SMALL_BYTES = {"floats": pack(SMALL), "integers": pack(SMALL, "integers")}
SMALL_TEXT = {name: gzip.decompress(content) for name, content in SMALL_BYTES.items()}


def damage(data, whole, alphabet):
    """``whole`` with a few bytes changed, removed or put in, perhaps cut short."""
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        end = at + data.draw(st.integers(0, 3))
        damaged[at:end] = data.draw(st.binary(max_size=3) | alphabet)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    return bytes(damaged)


def read_or_fault(folder, content, block_size):
    """The splits, or None after a fault of one line."""
    try:
        return read_bytes(folder, content, block_size=block_size)
    except InputError as error:
        assert "\n" not in str(error)
        return None


@given(data=st.data(), pixels=st.sampled_from(["floats", "integers"]))
@settings(deadline=None, max_examples=300)
def test_damaged_gzip_is_an_input_error_or_harmless(tmp_path_factory, data, pixels):
    content = damage(data, SMALL_BYTES[pixels], st.nothing())
    read = read_or_fault(tmp_path_factory.getbasetemp(), content, 1 << 18)
    if read is not None:
        assert_same(read, SMALL)


@given(
    data=st.data(),
    pixels=st.sampled_from(["floats", "integers"]),
    block_size=st.sampled_from([100, 1 << 18]),
)
@settings(deadline=None, max_examples=300)
def test_damaged_json_is_read_as_json_does_or_refused(tmp_path_factory, data, pixels, block_size):
    tokens = st.sampled_from([b"[", b"]", b",", b"]]", b"[[", b" ", b"-", b"e9", b'"', b"0", b"9"])
    text = damage(data, SMALL_TEXT[pixels], tokens)
    read = read_or_fault(tmp_path_factory.getbasetemp(), packed(text), block_size)
    if read is None:
        return
    # Whatever is accepted is what Python's own parser sees, to half a level.
    for (images, labels), (their_images, their_labels) in zip(read.splits, json.loads(text)):
        theirs = np.array(their_images, float).reshape(-1, 28, 28)
        scale = 1 if pixels == "integers" else 255
        np.testing.assert_allclose(images, theirs * scale, atol=0.01)
        np.testing.assert_array_equal(labels, their_labels)
