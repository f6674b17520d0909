"""``python -m mnist.prepare``, and the data that a training gets."""

import gzip
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from filelock import FileLock
from helpers import environment, verb

from mnist.data import course_json, dataset, idx

RANDOM = np.random.RandomState(4)


def idx_bytes(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def make_source(folder, train=12, test=4, pack=bytes):
    """A folder with the four files, of random content; the arrays in the files' order."""
    folder.mkdir()
    arrays = []
    for count in (train, test):
        arrays.append(RANDOM.randint(0, 256, (count, 28, 28)).astype(np.uint8))
        arrays.append(RANDOM.randint(0, 10, count).astype(np.uint8))
    for file, array in zip(idx.OFFICIAL_FILES, arrays):
        (folder / file.name).write_bytes(pack(idx_bytes(array)))
    return arrays


@pytest.fixture
def source(tmp_path):
    make_source(tmp_path / "source")
    return tmp_path / "source"


def prepare(folder, *arguments, **options):
    return verb("prepare", *arguments, cwd=folder, **options)


def error_line(done):
    """The last line on standard error, warnings aside."""
    *others, line = done.stderr.splitlines()
    assert all(other.startswith("WARNING: ") for other in others)
    return line


@pytest.mark.parametrize("pixels", ["floats", "integers"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_makes_the_three_splits_and_the_cache(tmp_path, pixels, pack):
    arrays = make_source(tmp_path / "source", train=13, pack=pack)
    options = ("--source", "source", "--pixels", pixels)
    done = prepare(tmp_path, *options, check=0)
    images, labels, test_images, test_labels = arrays
    data = dataset.load(tmp_path / "data" / "mnist.json.gz", cache=False)
    for split, expected_images, expected_labels in (
        (data.train, images[:10], labels[:10]),
        (data.valid, images[10:], labels[10:]),
        (data.eval, test_images, test_labels),
    ):
        np.testing.assert_array_equal(split.images, expected_images)
        np.testing.assert_array_equal(split.labels, expected_labels)
    text = gzip.decompress(data.source.read_bytes())
    assert (b"." in text) == (pixels == "floats")
    assert sorted(os.listdir(tmp_path / "data")) == [".cache", "mnist.json.gz"]
    assert os.listdir(tmp_path / "data" / ".cache") == ["mnist.json.gz.npz"]
    assert re.fullmatch(
        r"reading the IDX files in source\n"
        r"writing data/mnist.json.gz\n"
        r"wrote data/mnist.json.gz: 10 train, 3 valid, 4 eval images, 0.0 MB, in \d+.\d s\n",
        done.stdout,
    )


def test_says_loudly_that_other_files_are_not_mnist(tmp_path, source):
    done = prepare(tmp_path, "--source", "source", check=0)
    warnings = done.stderr.splitlines()
    assert len(warnings) == 4
    for line, file in zip(warnings, idx.OFFICIAL_FILES):
        assert line.startswith(f"WARNING: source/{file.name}: these are not the official MNIST")


def test_keeps_what_is_there(tmp_path, source):
    prepare(tmp_path, "--source", "source", check=0)
    target = tmp_path / "data" / "mnist.json.gz"
    before = target.stat()
    done = prepare(tmp_path, check=0)
    assert done.stdout == (
        "data/mnist.json.gz is there already, whole, with 10 train, 2 valid, 4 eval images;"
        " --force makes it anew\n"
    )
    assert done.stderr == ""
    assert target.stat() == before
    shutil.rmtree(source)
    make_source(source, train=18)
    done = prepare(tmp_path, "--source", "source", "--force", check=0)
    assert "15 train, 3 valid" in done.stdout
    assert len(dataset.load(target).train) == 15


@pytest.mark.parametrize("content", [b"my diary", gzip.compress(b"[[[1,2]]]", mtime=0), b""])
def test_does_not_overwrite_another_file(tmp_path, source, content):
    (tmp_path / "mine").write_bytes(content)
    options = ("--source", "source", "--output", "mine")
    done = prepare(tmp_path, *options, check=2)
    assert re.fullmatch("error: .*mine: .*; --force replaces the file", error_line(done))
    assert (tmp_path / "mine").read_bytes() == content
    prepare(tmp_path, *options, "--force", check=0)
    assert len(dataset.load(tmp_path / "mine").train) == 10


def change(path, change_array):
    content = path.read_bytes()
    dimensions = content[3]
    sizes = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    array = np.frombuffer(content[4 + 4 * dimensions :], np.uint8).reshape(sizes)
    path.write_bytes(idx_bytes(change_array(array)))


SOURCE_FAULTS = {
    "holds neither t10k-labels-idx1-ubyte nor": lambda folder: (
        folder / "t10k-labels-idx1-ubyte"
    ).unlink(),
    "12 images, but 11 labels in": lambda folder: change(
        folder / "train-labels-idx1-ubyte", lambda array: array[:-1]
    ),
    "label 0 is 17, not one of 0 to 9": lambda folder: change(
        folder / "train-labels-idx1-ubyte", lambda array: array * 0 + 17
    ),
    "not an IDX file of images": lambda folder: (folder / "t10k-images-idx3-ubyte").write_bytes(
        b"<html>"
    ),
    "bytes of values instead of": lambda folder: os.truncate(
        folder / "t10k-images-idx3-ubyte", 1000
    ),
    "cannot be split into train and valid": lambda folder: [
        change(folder / file.name, lambda array: array[:1]) for file in idx.OFFICIAL_FILES
    ],
    "no such folder": shutil.rmtree,
}


@pytest.mark.parametrize(("words", "spoil"), SOURCE_FAULTS.items(), ids=SOURCE_FAULTS.keys())
def test_bad_source_files_leave_nothing(tmp_path, source, words, spoil):
    spoil(source)
    done = prepare(tmp_path, "--source", "source", check=2)
    assert words in error_line(done)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--pixels", "bytes"], "bytes"), (["--sources", "x"], "--source"), (["x"], "x")],
)
def test_bad_options(tmp_path, arguments, words):
    done = prepare(tmp_path, *arguments, check=2)
    assert words in error_line(done)
    assert os.listdir(tmp_path) == []


def test_ones_as_integers_are_refused(tmp_path, source):
    for file in (idx.TRAIN_IMAGES, idx.TEST_IMAGES):
        change(source / file.name, lambda array: array // 128)
    done = prepare(tmp_path, "--source", "source", "--pixels", "integers", check=2)
    assert "images of only 0 and 1" in error_line(done)
    assert not (tmp_path / "data").exists()


def test_the_folder_cannot_be_made(tmp_path, source):
    (tmp_path / "data").write_text("a file")
    done = prepare(tmp_path, "--source", "source", check=1)
    assert "data/mnist.json.gz: cannot be written" in error_line(done)
    done = prepare(tmp_path, check=1)
    assert "data/.download: cannot be written" in error_line(done)


def test_a_full_disk_leaves_nothing(tmp_path, source):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-m", "mnist.prepare", "--source", "source"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=small_files,
    )
    assert done.returncode == 1
    assert error_line(done) == "error: data/mnist.json.gz: cannot be written (File too large)"
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_while_writing_leaves_nothing(tmp_path, number, code, words):
    make_source(tmp_path / "source", train=12_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist.prepare", "--source", "source"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "writing" not in process.stdout.readline():
        pass
    while not list(tmp_path.glob("data/.*.tmp")):
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines()[-1] == words
    assert os.listdir(tmp_path / "data") == []


def test_help_needs_neither_numpy_nor_the_network(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnist.prepare", "--help"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "--source DIR" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not {"numpy", "requests", "simdjson", "paddle", "rich"} & imported


def test_a_second_download_waits_for_the_first(tmp_path):
    (tmp_path / "data" / ".download").mkdir(parents=True)
    with FileLock(str(tmp_path / "data" / ".download" / "lock")):
        process = subprocess.Popen(
            [sys.executable, "-m", "mnist.prepare"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        first_line = process.stdout.readline()
        images, labels = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64)
        course_json.write(tmp_path / "data" / "mnist.json.gz", [(images, labels)] * 3)
    rest, _ = process.communicate(timeout=60)
    assert first_line == "waiting for another process that is downloading into data/.download\n"
    assert rest.startswith("data/mnist.json.gz is there already, whole, with 1 train")
    assert process.returncode == 0


class Slow(SimpleHTTPRequestHandler):
    """Serves the real files; the large one stops in the middle at the first time."""

    def do_GET(self):
        if "Range" not in self.headers and "train-images" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((self.server.folder / self.path[1:]).read_bytes()[:3_000_000])
            self.server.stopping.wait()
            return
        content = (self.server.folder / self.path[1:]).read_bytes()
        first = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")).group(1))
        self.server.resumed_at.append(first)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def slow_mirror(real_mnist):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    server.folder, server.stopping, server.resumed_at = real_mnist, threading.Event(), []
    server.handle_error = lambda request, address: None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_terminated_download_goes_on_and_makes_mnist(tmp_path, slow_mirror):
    mirror = f"http://127.0.0.1:{slow_mirror.server_port}"
    part = tmp_path / "data" / ".download" / "train-images-idx3-ubyte.gz.part"
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist.prepare", "--mirror", mirror],
        cwd=tmp_path,
        env=environment({"NO_PROXY": "127.0.0.1"}),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not part.exists() or part.stat().st_size < 2_000_000:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "terminated\n")
    assert os.listdir(tmp_path / "data") == [".download"]
    size = part.stat().st_size
    assert size >= 2_000_000

    done = prepare(tmp_path, "--mirror", mirror, check=0, env={"NO_PROXY": "127.0.0.1"})
    assert size in slow_mirror.resumed_at
    assert done.stderr == ""
    assert "wrote data/mnist.json.gz: 50,000 train, 10,000 valid, 10,000 eval" in done.stdout
    assert sorted(os.listdir(tmp_path / "data")) == [".cache", "mnist.json.gz"]
    data = dataset.load(tmp_path / "data" / "mnist.json.gz")
    assert [len(split) for split in (data.train, data.valid, data.eval)] == [50_000, 10_000, 10_000]
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    # The published mean of the 60,000 training images, and how many there are of each digit.
    both = np.concatenate([data.train.images, data.valid.images])
    assert round(float(both.mean()) / 255, 4) == 0.1307
    assert np.bincount(data.eval.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
