"""IDX files: good ones are read, all others are one clear line."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist.base.errors import InputError
from mnist.data import idx

IMAGES = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([3, 0, 9], np.uint8)


def idx_bytes(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def fault(read, path):
    """The one line that reading ``path`` ends with, without the path in front."""
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    prefix = f"{path}: "
    assert line.startswith(prefix)
    assert "\n" not in line
    return line[len(prefix) :]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_images_and_labels_with_the_hash_of_the_payload(tmp_path, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(IMAGES)))
    images, sha256 = idx.read_images(path)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    assert sha256 == hashlib.sha256(idx_bytes(IMAGES)).hexdigest()
    assert sha256 == hashlib.sha256(idx.payload(path)).hexdigest()
    path.write_bytes(pack(idx_bytes(LABELS)))
    labels, sha256 = idx.read_labels(path)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, LABELS)
    assert sha256 == hashlib.sha256(idx_bytes(LABELS)).hexdigest()


def test_the_real_files_are_the_official_ones(real_mnist):
    for images, labels in (
        (idx.TRAIN_IMAGES, idx.TRAIN_LABELS),
        (idx.TEST_IMAGES, idx.TEST_LABELS),
    ):
        array, sha256 = idx.read_images(idx.find(real_mnist, images.name))
        assert (sha256, 16 + array.size) == (images.sha256, images.size)
        array, sha256 = idx.read_labels(idx.find(real_mnist, labels.name))
        assert (sha256, 8 + array.size) == (labels.sha256, labels.size)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_finds_the_usual_spellings(tmp_path, name, ending):
    (tmp_path / (name + ending)).touch()
    assert idx.find(tmp_path, "train-images-idx3-ubyte") == tmp_path / (name + ending)


def test_says_what_it_did_not_find(tmp_path):
    def find(folder):
        return idx.find(folder, "train-images-idx3-ubyte")

    assert "train-images-idx3-ubyte.gz" in fault(find, tmp_path)
    assert "no such folder" in fault(find, tmp_path / "nowhere")


def header(*sizes, magic=b"\0\0\x08"):
    return magic + bytes([len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file of images (begins with nothing"),
        (b"<html>", "begins with 3c68746d instead of 00000803"),
        (idx_bytes(LABELS), "not an IDX file of images"),
        (header(3, 28, 28, magic=b"\0\0\x0d") + bytes(3 * 784), "begins with 00000d03"),
        (header(3, 28, 28)[:9], "ends inside its header"),
        (header(3, 28, 29) + bytes(3 * 28 * 29), "images of 28x29 pixels"),
        (header(0, 28, 28), "announces 0 items"),
        (header(4_000_000_000, 28, 28), "announces 4,000,000,000 items"),
        (header(3, 28, 28) + bytes(3 * 784 - 1), "2,351 bytes of values instead of 2,352"),
        (header(3, 28, 28) + bytes(3 * 784 + 1), "2,353 bytes of values instead of 2,352"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-9], "file ended before the end"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-8] + bytes(8), "CRC check failed"),
        (
            gzip.compress(idx_bytes(IMAGES), mtime=0) + b"more",
            "is not a whole gzip file (Not a gzipped file",
        ),
        (gzip.compress(b"", mtime=0), "begins with nothing"),
    ],
)
def test_faults_of_images(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    assert words in fault(idx.read_images, path)


def test_faults_of_labels(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(np.array([0, 9, 10], np.uint8)))
    assert "label 2 is 10" in fault(idx.read_labels, path)
    path.write_bytes(idx_bytes(IMAGES))
    assert "not an IDX file of labels" in fault(idx.read_labels, path)


def test_a_small_file_that_announces_much_takes_no_memory(tmp_path):
    # 784 MB announced; zeros compress 1000 times, so this is a gzip bomb of 100 KB.
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(1_000_000, 28, 28) + bytes(100 << 20), mtime=0))
    assert "gzip bomb" in fault(idx.read_images, path)


def test_missing_files_and_folders(tmp_path):
    assert "No such file" in fault(idx.read_images, tmp_path / "nothing")
    assert "it is a folder" in fault(idx.read_images, tmp_path)


@given(data=st.data(), packed=st.booleans())
@settings(deadline=None, max_examples=300)
def test_any_damage_is_an_input_error_or_harmless(tmp_path_factory, data, packed):
    whole = idx_bytes(IMAGES[:1])
    whole = gzip.compress(whole, mtime=0) if packed else whole
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    try:
        images = idx.read_images(path)[0]
    except InputError:
        fault(idx.read_images, path)
    else:
        assert images.shape == (1, 28, 28)
        # Without gzip nothing tells a damaged pixel.
        assert not packed or np.array_equal(images, IMAGES[:1])
