"""Loading a data set, with and without its cache."""

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from helpers import environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist.base.errors import InputError
from mnist.data import course_json, dataset


def splits(seed, *counts):
    random = np.random.RandomState(seed)
    return [
        (
            random.randint(0, 256, (count, 28, 28)).astype(np.uint8),
            random.randint(0, 10, count).astype(np.int64),
        )
        for count in counts
    ]


ONE, OTHER = splits(1, 5, 3, 2), splits(2, 5, 3, 2)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "digits.json.gz"
    course_json.write(path, ONE)
    return path


@pytest.fixture
def cache(source):
    """The cache that loading leaves behind."""
    dataset.load(source)
    path = dataset.cache_path_of(source)
    assert path.exists()
    return path


@pytest.fixture
def debug_log(caplog):
    caplog.set_level(logging.DEBUG, logger="mnist")
    return caplog


def assert_holds(data, expected):
    for name, (images, labels) in zip(("train", "valid", "eval"), expected):
        split = data.split(name)
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert len(split) == len(images)


def test_loads_cold_and_warm_alike(source, debug_log):
    assert_holds(dataset.load(source, cache=False), ONE)
    assert not dataset.cache_path_of(source).exists()
    cold = dataset.load(source)
    assert "is not used" in debug_log.text
    debug_log.clear()
    warm = dataset.load(source)
    assert debug_log.text == ""
    assert_holds(cold, ONE)
    assert_holds(warm, ONE)
    assert (cold.source, cold.sha256) == (warm.source, warm.sha256)


def test_arrays_are_read_only(source):
    for data in (dataset.load(source), dataset.load(source)):
        with pytest.raises(ValueError, match="read-only"):
            data.train.images[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            data.eval.labels[0] = 0


def test_another_mode_is_an_error(source):
    data = dataset.load(source)
    with pytest.raises(InputError, match=r"'trian' must be train, valid or eval \(nearest: train"):
        data.split("trian")
    with pytest.raises(InputError, match=r"'source' must be train, valid or eval$"):
        data.split("source")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"no such file \(python -m mnist.prepare"):
        dataset.load(tmp_path / "digits.json.gz")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="link: cannot be read"):
        dataset.load(tmp_path / "link")


def test_a_changed_source_is_read_anew(source, cache):
    course_json.write(source, OTHER)
    # The same size and time tell nothing: only the content counts.
    os.utime(source, (1, 1))
    os.utime(cache, (2, 2))
    assert_holds(dataset.load(source), OTHER)
    assert_holds(dataset.load(source), OTHER)


def test_a_damaged_source_is_not_covered_up_by_its_cache(source, cache):
    content = source.read_bytes()
    source.write_bytes(content[:-1])
    with pytest.raises(InputError, match="file ended before the end"):
        dataset.load(source)
    source.write_bytes(content)
    assert_holds(dataset.load(source), ONE)


def rewrite(cache, **arrays):
    """Write the cache again with some arrays (or a whole member's bytes) exchanged."""
    with zipfile.ZipFile(cache) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(cache, "w") as archive:
        for name, content in members.items():
            array = arrays.pop(name[: -len(".npy")], content)
            with archive.open(name, "w") as member:
                if isinstance(array, bytes):
                    member.write(array)
                else:
                    np.save(member, array)
    assert not arrays


def swap_with_foreign(cache):
    other = cache.parent / "other.json.gz"
    course_json.write(other, OTHER)
    dataset.load(other)
    shutil.copy(dataset.cache_path_of(other), cache)


def flip_a_pixel(cache):
    content = bytearray(cache.read_bytes())
    at = content.index(ONE[0][0].tobytes()) + 5 * 784 - 1
    content[at] ^= 1
    cache.write_bytes(content)


def compress_members(cache):
    with zipfile.ZipFile(cache) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(cache, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def announce_much(cache):
    with zipfile.ZipFile(cache) as archive:
        member = archive.read("train_images.npy")
    rewrite(cache, train_images=member.replace(b"(5, 28, 28), }   ", b"(999999, 28, 28), }"))


def link_to_elsewhere(cache):
    cache.unlink()
    cache.symlink_to("/dev/zero")


def become_a_pipe(cache):
    cache.unlink()
    os.mkfifo(cache)


def grow_huge(cache):
    os.truncate(cache, 1 << 40)


WRONG_CACHES = {
    "empty": lambda cache: cache.write_bytes(b""),
    "garbage": lambda cache: cache.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9),
    "truncated": lambda cache: os.truncate(cache, 3000),
    "foreign": swap_with_foreign,
    "a flipped bit": flip_a_pixel,
    "another version": lambda cache: rewrite(cache, stamp=np.array("mnist-cache-0")),
    "another shape": lambda cache: rewrite(cache, eval_images=ONE[2][0].reshape(2, 784)),
    "another type": lambda cache: rewrite(cache, eval_labels=ONE[2][1].astype(np.uint8)),
    "another order": lambda cache: rewrite(cache, eval_images=np.asfortranarray(ONE[2][0])),
    "other lengths": lambda cache: rewrite(cache, eval_images=ONE[0][0]),
    "labels of another shape": lambda cache: rewrite(cache, eval_labels=ONE[2][1].reshape(2, 1)),
    "labels out of range": lambda cache: rewrite(cache, eval_labels=np.array([0, 10])),
    "negative labels": lambda cache: rewrite(cache, eval_labels=np.array([0, -1])),
    "no images": lambda cache: rewrite(cache, eval_images=ONE[0][0][:0], eval_labels=ONE[0][1][:0]),
    "a pickle": lambda cache: rewrite(cache, eval_labels=np.array([0, "x"], object)),
    "not npy": lambda cache: rewrite(cache, eval_labels=b"hello"),
    "compressed": compress_members,
    "a bomb": announce_much,
    "a device": link_to_elsewhere,
    "a pipe": become_a_pipe,
    "huge": grow_huge,
}


@pytest.mark.parametrize("spoil", WRONG_CACHES.values(), ids=WRONG_CACHES.keys())
def test_a_wrong_cache_is_made_anew(source, cache, spoil, debug_log):
    spoil(cache)
    assert_holds(dataset.load(source), ONE)
    assert "is not used" in debug_log.text
    assert not [record for record in debug_log.records if record.levelno > logging.DEBUG]
    debug_log.clear()
    assert_holds(dataset.load(source), ONE)
    assert debug_log.text == ""
    assert cache.is_file()
    assert not cache.is_symlink()


def test_a_linked_cache_is_replaced_and_what_it_linked_to_is_not(source, cache, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    cache.unlink()
    cache.symlink_to(precious)
    assert_holds(dataset.load(source), ONE)
    assert precious.read_text() == "mine"


@given(data=st.data())
@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_damage_to_the_cache_changes_the_data(source, cache, data):
    content = bytearray(cache.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cache.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    assert_holds(dataset.load(source), ONE)


def test_goes_on_where_no_cache_can_be_written(source, capsys):
    dataset.cache_path_of(source).parent.touch()  # A file where the folder should be.
    assert_holds(dataset.load(source), ONE)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING: no cache, reading the data will be slow again next time: ")


def run(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_a_full_disk_costs_the_cache_only(source):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    code = "import sys; from mnist.data import dataset; print(len(dataset.load(sys.argv[1]).train))"
    done = run(code, source, preexec_fn=small_files)
    assert (done.returncode, done.stdout) == (0, "5\n")
    assert len(done.stderr.splitlines()) == 1
    assert "no cache" in done.stderr
    assert "File too large" in done.stderr
    assert os.listdir(source.parent / ".cache") == []


def test_a_kill_at_any_moment_leaves_the_next_load_right(tmp_path):
    source = tmp_path / "digits.json.gz"
    expected = splits(3, 2000, 10, 10)
    course_json.write(source, expected)
    code = "import sys; from mnist.data.dataset import load; print('go'); load(sys.argv[1])"
    for moment in range(5):
        process = subprocess.Popen(
            [sys.executable, "-uc", code, str(source)], env=environment(), stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(moment * 0.03)
        process.kill()
        process.communicate()
        assert_holds(dataset.load(source), expected)
        cache = dataset.cache_path_of(source)
        assert os.listdir(cache.parent) == [cache.name]
        cache.unlink()


def test_the_next_writer_removes_what_a_killed_one_left(source):
    cache = dataset.cache_path_of(source)
    code = """
import os, signal, sys
from mnist.base.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(bytes(100))
    file.flush()
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""
    stopped = subprocess.Popen([sys.executable, "-c", code, cache, "SIGSTOP"], env=environment())
    try:
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        (living,) = os.listdir(cache.parent)
        assert run(code, cache, "SIGKILL").returncode == -signal.SIGKILL
        assert len(os.listdir(cache.parent)) == 2
        dataset.load(source)
        assert sorted(os.listdir(cache.parent)) == sorted([living, cache.name])
        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait(timeout=60) == 0
        assert cache.read_bytes() == bytes(100)
    finally:
        stopped.kill()
        stopped.wait()


def test_paddle_is_not_imported(source):
    code = "import sys; from mnist.data.dataset import load; load(sys.argv[1]); print(*sys.modules)"
    done = run(code, source)
    assert "mnist.data.course_json" in done.stdout
    assert not {"paddle", "requests", "rich"} & set(done.stdout.split())
