"""Hostile and damaged files at the door of ``mnist.adopt``: one line each, bounded, nothing runs.

The default run tries a few hundred inputs a format; ``-m slow`` 20,000, whose count is in
docs/reliability.md.
"""

import contextlib
import io
import random
import resource
import time
import zlib

import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist.adopt.output import print_adoption
from mnist.base.errors import InputError
from mnist.checkpoints import foreign
from tests.material.malicious import malicious_pickles

MATERIAL = ROOT / "tests" / "material"
NEWER = MATERIAL / "newer" / "paddle2.6.2"
# More memory than before, in bytes, and seconds for one input: both hold for any.
GROWTH, SECONDS = 400 << 20, 5.0


def genuine(folder):
    """A file of each format, and the name by which it is known for what it is."""
    return {
        "tensor": ("weights", (folder / "model" / "conv2d_1.w_0").read_bytes()),
        "tensors in one": ("all", (folder / "persistables_one" / "all").read_bytes()),
        "program": ("__model__", (folder / "model" / "__model__").read_bytes()),
        "pickle of 1.8": ("it.pdparams", (folder / "unpadded_epoch3.pdopt").read_bytes()),
        "pickle of 2.6": ("it.pdparams", (NEWER / "nested.pdparams").read_bytes()),
        "packed": ("it.pdparams", zlib.compress((NEWER / "half.pdparams").read_bytes())),
    }


FORMATS = ["tensor", "tensors in one", "program", "pickle of 1.8", "pickle of 2.6", "packed"]


def damages(seed):
    """What is done to a file: bytes changed near any place, cut, repeated, or put in."""
    rng = random.Random(seed)
    kinds = ["set", "set", "set", "cut", "repeat", "insert", "end"]
    for _ in range(rng.randint(1, 6)):
        new = bytes(rng.choices([0, 1, 127, 128, 255, rng.randrange(256)], k=rng.randint(1, 12)))
        yield rng.choice(kinds), rng.random(), rng.random(), new


def damaged(content, steps):
    for kind, place, other, new in steps:
        # The head, where sizes and counts are, gets as much as all else.
        reach = len(content) if other < 0.5 else min(len(content), 80)
        start = int(place * reach)
        stop = start + int(other * 64)
        if kind == "set":
            content = content[:start] + new + content[start + len(new) :]
        elif kind == "cut":
            content = content[:start] + content[stop:]
        elif kind == "repeat":
            content = content[:stop] + content[start:stop] * 3 + content[stop:]
        elif kind == "insert":
            content = content[:start] + new + content[start:]
        else:
            content = content[:start]
    return content


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def is_read_or_refused(path):
    """Whether it was read; what is refused must be one line that names a file of the folder."""
    started = time.monotonic()
    try:
        foreign.read(path)
    except InputError as error:
        assert str(path.parent) in str(error) and str(error).isprintable()
        assert len(str(error)) < 2000
        return False
    finally:
        assert time.monotonic() - started < SECONDS
    return True


def door(old, tmp_path_factory, kind):
    """What feeds one damaged file, by its seed, and how many were read (True) and refused."""
    folder = tmp_path_factory.mktemp("hostile")
    name, content = genuine(old[0])[kind]
    (folder / name).write_bytes(content)
    if kind == "program":
        (folder / "fc_0.b_0").write_bytes((old[0] / "model" / "fc_0.b_0").read_bytes())
    foreign.read(folder / name)
    seen = {True: 0, False: 0}

    def feed(seed):
        (folder / name).write_bytes(damaged(content, damages(seed)))
        seen[is_read_or_refused(folder / name)] += 1

    return feed, seen


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_read_or_refused(old, tmp_path_factory, kind):
    feed, seen = door(old, tmp_path_factory, kind)
    before = peak()

    @settings(
        max_examples=300, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**63))
    def feed_any(seed):
        feed(seed)

    feed_any()
    assert seen[False] > 30 and peak() - before < GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_twenty_thousand_damaged_files_of_a_format(old, tmp_path_factory, kind, capsys):
    feed, seen = door(old, tmp_path_factory, kind)
    before = peak()
    for seed in range(20_000):
        feed(seed)
    with capsys.disabled():
        print(f"\n{kind}: {seen[True]:,} read, {seen[False]:,} refused")
    assert sum(seen.values()) == 20_000 and peak() - before < GROWTH


def varint(number):
    """As protobuf writes a number."""
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def tensor(data_type, dims, data, levels=b"", count=0):
    """A LoDTensor with a description that may lie."""
    shape = b"".join(b"\x10" + varint(side & (2**64 - 1)) for side in dims)
    description = b"\x08" + varint(data_type) + shape
    head = bytes(4) + count.to_bytes(8, "little") + levels + bytes(4)
    return head + len(description).to_bytes(4, "little") + description + data


LIES = {
    "a petabyte": tensor(5, [2**50], b"1234"),
    "a product beyond 64 bits": tensor(5, [2**62, 2**62], b"1234"),
    "a negative side": tensor(5, [-1, 4], b"1234"),
    "an unknown type": tensor(99, [1], b"1234"),
    "a hundred dimensions": tensor(5, [1] * 100, b"1234"),
    "levels without end": tensor(5, [1], b"1234", count=255),
    "a level of exabytes": tensor(5, [1], b"1234", (2**62).to_bytes(8, "little"), count=1),
    "a description of gigabytes": bytes(16) + b"\xff\xff\xff\x7f",
    "tensors without end": tensor(5, [1], b"1234") * 20_001,
    "nothing behind": tensor(5, [1], b""),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_tensors_are_refused_without_taking_what_they_say(tmp_path, lie):
    (tmp_path / "weights").write_bytes(LIES[lie])
    before = peak()
    with pytest.raises(InputError, match=r"weights: is damaged, or no tensor of Paddle"):
        foreign.read(tmp_path / "weights")
    assert peak() - before < GROWTH


def test_the_helper_s_tensor_is_one():
    """What the lies are told with, telling the truth."""
    assert foreign._tensor(foreign.pickles.Bytes(tensor(5, [1], bytes(4)))).tolist() == [0.0]


def test_a_program_of_millions_of_nothings_is_refused_by_its_size(tmp_path):
    (tmp_path / "__model__").write_bytes(b"\x0a\x00" * (5 << 20))
    with pytest.raises(InputError, match=r"__model__: is too large"):
        foreign.read(tmp_path)
    before = peak()
    (tmp_path / "__model__").write_bytes(b"\x0a\x00" * (2 << 20))
    with pytest.raises(InputError):
        foreign.read(tmp_path)
    assert peak() - before < GROWTH


def test_names_that_would_steer_a_terminal_are_not_shown(tmp_path):
    (tmp_path / "\x1b[31mred").write_bytes(tensor(5, [1], b"1234"))
    with pytest.raises(InputError, match="names that cannot be shown") as caught:
        foreign.read(tmp_path)
    assert str(caught.value).isprintable()


def test_malicious_pickles_do_not_run_through_this_door_either(tmp_path):
    canary = tmp_path / "ran"
    for number, (_, content) in enumerate(malicious_pickles(canary)):
        path = tmp_path / f"{number}.pdparams"
        path.write_bytes(content)
        with pytest.raises(InputError), contextlib.redirect_stdout(io.StringIO()):
            print_adoption(str(path), None, None, "kept", (), None)
        path.unlink()
        assert not canary.exists()


def test_names_that_are_no_text_are_passed_over(old, tmp_path):
    whole = (old[0] / "model" / "__model__").read_bytes()
    program = whole.replace(b"conv2d_0.w_0", b"conv\xff\xfe_0.w_0")
    (tmp_path / "__model__").write_bytes(program)
    for name in "conv2d_0.w_0", "fc_0.b_0":
        (tmp_path / name).write_bytes((old[0] / "model" / name).read_bytes())
    assert list(foreign.read(tmp_path).arrays) == ["fc_0.b_0", "conv2d_0.w_0"]
