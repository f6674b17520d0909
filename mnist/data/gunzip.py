"""Reading gzip files that may be damaged or hostile, within known bounds."""

import gzip
import hashlib
import zlib
from types import SimpleNamespace
from typing import Any, BinaryIO

from mnist.base.errors import InputError, failing_as
from mnist.base.files import PathLike

# Genuine files of digits are 5 to 30 times smaller than their text; deflate can reach
# 1032. The first 64 MiB are free so that a small file of blank images is still read.
MAX_RATIO = 200
RATIO_FREE_BYTES = 64 << 20

# Each takes Python's module a while. bgzip makes one of each 64 KB, which is 5,000 for MNIST.
MAX_MEMBERS = 10_000

MAGIC = b"\x1f\x8b"


class GunzipReader(gzip._GzipReader):
    """The decompressed bytes of an open gzip file, a raw stream; ``digest`` is of the packed ones.

    Every fault of the file is an InputError naming ``path``: not gzip, cut short, a wrong
    checksum, more than ``max_bytes`` of content, or a compression ratio that only a gzip bomb
    has. Members that follow each other are read as one, and zeros after them are skipped.
    """

    def __init__(self, path: PathLike, file: BinaryIO, max_bytes: int) -> None:
        self._path = path
        self._file = file
        self._max_bytes = max_bytes
        self._members = 0
        self.digest = digest = hashlib.sha256()

        def read_hashed(size: int) -> bytes:
            data = file.read(size)
            digest.update(data)
            return data

        hashed: Any = SimpleNamespace(read=read_hashed)
        super().__init__(hashed)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size``; none at the end, once the checksum is verified."""
        with failing_as(f"{self._path}: cannot be read", InputError):
            try:
                data: bytes = super().read(size)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise self._fault(f"is not a whole gzip file ({error})") from error
        packed, unpacked = self._file.tell(), self.tell()
        if unpacked > self._max_bytes:
            raise self._fault(f"holds more than {self._max_bytes:,} bytes, too many to be digits")
        if unpacked > max(RATIO_FREE_BYTES, MAX_RATIO * packed):
            raise self._fault(
                f"looks like a gzip bomb ({packed:,} bytes unpack to {unpacked:,},"
                f" over {MAX_RATIO} times as many)"
            )
        return data

    def _read_gzip_header(self) -> bool:
        is_one = bool(super()._read_gzip_header())  # type: ignore[misc]
        self._members += is_one
        if not self._members:
            raise self._fault("is empty")
        if self._members > MAX_MEMBERS:
            raise self._fault(f"has more than {MAX_MEMBERS:,} gzip members")
        return is_one

    def _fault(self, what: str) -> InputError:
        return InputError(f"{self._path}: {what}")
