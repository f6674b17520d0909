"""Reading gzip files that may be damaged or hostile, within known bounds."""

import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from mnist.base.errors import InputError, failing_as
from mnist.base.files import PathLike

# Genuine files of digits are 5 to 30 times smaller than their text; deflate can reach
# 1032. The first 64 MiB are free so that a small file of blank images is still read.
MAX_RATIO = 200
RATIO_FREE_BYTES = 64 << 20

# Every further member costs a copy of what is left of a block of input. bgzip makes one of
# each 64 KB, which is 5,000 for MNIST.
MAX_MEMBERS = 10_000

MAGIC = b"\x1f\x8b"
_INPUT_BLOCK = 256 << 10
_AHEAD = 4 << 20
_GZIP_FORMAT = 31  # For zlib: a gzip header and checksum, the largest window.


class GunzipReader:
    """The decompressed bytes of an open gzip file.

    Every fault of the file is an InputError naming ``path``: not gzip, cut short, a
    wrong checksum, more than ``max_bytes`` of content, or a compression ratio that only
    a gzip bomb has. Members that follow each other are read as one, and zeros after
    them are skipped, as gzip does. This takes 10% less time than the module gzip, which
    reads a member's header and such zeros byte by byte, and hashes the file on the way.
    """

    def __init__(self, path: PathLike, file: BinaryIO, max_bytes: int) -> None:
        self._path = path
        self._file = file
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._input = b""
        self._input_count = 0
        self._output_count = 0
        self._members = 1
        self._member = zlib.decompressobj(_GZIP_FORMAT)
        self._more_input()
        if not self._input.startswith(MAGIC):
            raise self._fault("is not a gzip file" if self._input else "is empty")

    def read(self, size: int) -> bytes:
        """The next bytes, 1 to ``size`` of them, or none at the end.

        The gzip checksum has been verified once this has returned none.
        """
        data = b""
        while not data and not self._at_end():
            if not self._input and not self._more_input():
                raise self._fault("the gzip data is cut short")
            try:
                data = self._member.decompress(self._input, size)
            except zlib.error as error:
                raise self._fault(f"the gzip data is damaged ({error})") from error
            self._input = self._member.unused_data or self._member.unconsumed_tail
        self._output_count += len(data)
        self._check_size()
        return data

    def sha256(self) -> str:
        """The SHA-256 of the compressed file's bytes, as far as they have been read."""
        return self._digest.hexdigest()

    def _more_input(self) -> bool:
        with failing_as(f"{self._path}: cannot be read", InputError):
            block = self._file.read(_INPUT_BLOCK)
        self._digest.update(block)
        self._input_count += len(block)
        self._input += block
        return bool(block)

    def _at_end(self) -> bool:
        """Whether there is no more; begins the next member if there is one."""
        if not self._member.eof:
            return False
        self._input = self._input.lstrip(b"\0")
        while len(self._input) < len(MAGIC) and self._more_input():
            self._input = self._input.lstrip(b"\0")
        if not self._input:
            return True
        if not self._input.startswith(MAGIC):
            raise self._fault("something that is not gzip follows the gzip data")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise self._fault(f"has more than {MAX_MEMBERS:,} gzip members")
        self._member = zlib.decompressobj(_GZIP_FORMAT)
        return False

    def _check_size(self) -> None:
        if self._output_count > self._max_bytes:
            raise self._fault(f"holds more than {self._max_bytes:,} bytes, too many to be digits")
        used = self._input_count - len(self._input)
        if self._output_count > max(RATIO_FREE_BYTES, MAX_RATIO * used):
            raise self._fault(
                f"looks like a gzip bomb ({used:,} bytes unpack to {self._output_count:,}, "
                f"over {MAX_RATIO} times as many)"
            )

    def _fault(self, what: str) -> InputError:
        return InputError(f"{self._path}: {what}")


class ReadAhead:
    """Decompresses in a thread of ``pool`` while the bytes are being parsed.

    The blocks are large because, with Python's interpreter lock, handing one over costs
    as much as decompressing 50 KB.
    """

    def __init__(self, source: GunzipReader, pool: ThreadPoolExecutor) -> None:
        self._source = source
        self._pool = pool
        self._next = pool.submit(source.read, _AHEAD)
        self._block = memoryview(b"")

    def read(self, size: int) -> bytes:
        """As ``GunzipReader.read``, with the same errors."""
        if not self._block:
            block = self._next.result()
            if block:
                self._next = self._pool.submit(self._source.read, _AHEAD)
            self._block = memoryview(block)
        data = bytes(self._block[:size])
        self._block = self._block[size:]
        return data
