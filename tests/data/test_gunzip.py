"""Decompressing within bounds, in blocks of any size."""

import gzip
import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist.base.errors import InputError
from mnist.data.gunzip import GunzipReader


def read_all(content, size, max_bytes=1 << 30):
    reader = GunzipReader("some.gz", io.BytesIO(content), max_bytes)
    blocks = list(iter(lambda: reader.read(size), b""))
    assert all(len(block) <= size for block in blocks)
    return b"".join(blocks), reader


@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    padding=st.integers(0, 5),
    size=st.sampled_from([1, 2, 7, 100, 1000]),
)
@settings(deadline=None)
def test_members_and_padding_are_read_as_gzip_does(members, padding, size):
    content = b"".join(gzip.compress(member, mtime=0) for member in members) + bytes(padding)
    text, reader = read_all(content, size)
    assert text == gzip.decompress(content) == b"".join(members)
    assert reader.digest.hexdigest() == hashlib.sha256(content).hexdigest()
    assert reader.read(size) == b""


def test_members_that_end_at_the_end_of_a_block_of_input(monkeypatch):
    content = gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0) + bytes(9)
    for size in range(2, len(content) + 1):
        monkeypatch.setattr("io.DEFAULT_BUFFER_SIZE", size)
        text, reader = read_all(content, 100)
        assert text == b"onetwo"
        assert reader.digest.hexdigest() == hashlib.sha256(content).hexdigest()


def test_more_than_the_limit_is_an_error():
    content = gzip.compress(bytes(1000), mtime=0)
    assert read_all(content, 300, max_bytes=1000)[0] == bytes(1000)
    with pytest.raises(InputError, match=r"some\.gz: holds more than 999 bytes"):
        read_all(content, 300, max_bytes=999)


def test_a_bomb_is_noticed_early():
    # 1 GiB of zeros in 1 MiB; nothing near 1 GiB may be unpacked.
    content = b"".join([gzip.compress(bytes(32 << 20), mtime=0)] * 32)
    reader = GunzipReader("some.gz", io.BytesIO(content), 1 << 40)
    count = 0
    with pytest.raises(InputError, match=r"some\.gz: looks like a gzip bomb"):
        while True:
            count += len(reader.read(1 << 20))
    assert count <= 64 << 20


def test_a_swarm_of_members_is_an_error():
    with pytest.raises(InputError, match=r"some\.gz: has more than 10,000 gzip members"):
        read_all(gzip.compress(b"", mtime=0) * 300_000, 1000)


def test_what_hardly_packs_is_never_a_bomb():
    noise = np.random.RandomState(1).bytes(3 << 20)
    content = b"".join([gzip.compress(noise, 1, mtime=0)] * 30)
    assert len(read_all(content, 1 << 20)[0]) == 90 << 20
