"""Paddle's ``.pdparams`` and ``.pdopt`` files, read without running them.

Both are pickles, and an unpickler does what the file says: it imports modules and calls
functions. The one used here, the standard library's in Python, is held to those few
instructions that files written by ``fluid.save_dygraph`` hold. The functions such a file names
(NumPy's ``_reconstruct``, ``dtype``, …) are never imported or called either: what they were given
is noted, and where it describes an array, that is built from bytes the file itself holds.

Read are files written by Python 2 and 3 (protocols 0 to 5) with NumPy 1 and 2. The format:
https://docs.python.org/3/library/pickle.html and the docstrings of ``pickletools``.
"""

import io
import math
import pickle
import pickletools
import sys
import zlib
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, cast

import numpy as np

from mnist.base.errors import InputError
from mnist.base.files import PathLike, read_input

# Larger files are refused before they are read. The largest model here takes a few MB.
MAX_FILE_BYTES = 1 << 30
# About 10,000 arrays' worth; the interpreter takes about a microsecond for each.
MAX_INSTRUCTIONS = 500_000
MAX_NESTING = 10  # containers within containers; genuine files have two
MAX_NAME_LENGTH = 1_000  # characters in a key or any other text
MAX_RANK = 9  # dimensions; no tensor of Paddle's has more
_MAX_LINE = 256
# The first bytes of zlib's and gzip's; and how much larger what they hold may be.
_PACKED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b")
_MAX_UNPACKED = 50
# Of one byte in the file: an array's is decoded, copied and handed out, a name's is
# handed out up to three times (as a key twice and as a value).
_MAX_GROWTH = 4

# The key under which ``save_dygraph`` stores structured name → parameter name.
NAME_TABLE = "StructuredToParameterName@@"

_NOT_GENUINE = "is not a file written by fluid.save_dygraph"
_DAMAGED = "is damaged or not a file written by fluid.save_dygraph"

# Paddle's tensor types (bfloat16 as u2), in the little-endian form that pickled NumPy dtypes have.
_DTYPES = {code: np.dtype(f"<{code}") for code in "b1 u1 u2 i1 i2 i4 i8 f2 f4 f8".split()}

# The one in Python: that in C cannot be held to some instructions.
_Unpickler: Any = pickle._Unpickler


class _Refused(Exception):
    """What is wrong with the file, without its name."""


def _require(genuine: object, what: str = "") -> None:
    """Refuse a file that is damaged, or with ``what`` in it, which no genuine file has."""
    if not genuine:
        raise _Refused(f"{_NOT_GENUINE} ({what})" if what else _DAMAGED)


def load(path: PathLike) -> Dict[str, Any]:
    """What ``fluid.save_dygraph`` stored in a ``.pdparams`` or ``.pdopt`` file.

    Equal to what plain unpickling (latin1) of a genuine file gives: a dict, in file order,
    of str to C-contiguous, writable arrays, with the name table under ``NAME_TABLE`` and,
    in optimizer files, numbers under ``LR_Scheduler``. Arrays may hold NaN. Nothing in the
    file is run, and no more memory is taken than a few times its size. Raises InputError
    for a file that cannot be read or that ``save_dygraph`` did not write.
    """
    return loads(read_input(path, MAX_FILE_BYTES), path)


def loads(data: bytes, source: PathLike) -> Dict[str, Any]:
    """As ``load``, for a file's bytes; ``source`` is what error messages call it."""
    try:
        data = _unpacked(data)
        if not data:
            raise _Refused("is empty")
        return _Reader(data).load()
    except _Refused as refusal:
        raise InputError(f"{source}: {refusal}") from refusal
    except MemoryError as error:
        raise InputError(f"{source}: needs more memory than there is") from error
    # Every fault a hostile file can cause in the code above must end as one line.
    except Exception as error:
        raise InputError(f"{source}: {_DAMAGED} ({type(error).__name__})") from error


def _unpacked(data: bytes) -> bytes:
    """What is packed with zlib or gzip as it was, if that is no larger than a file may be."""
    if data[:2] not in _PACKED:
        return data
    unpacker = zlib.decompressobj(zlib.MAX_WBITS + 32)  # either, by its header
    try:
        unpacked = unpacker.decompress(data, _MAX_UNPACKED * len(data))
    except zlib.error as error:
        raise _Refused(f"{_DAMAGED} ({error})") from error
    if not unpacker.eof:
        raise _Refused(f"is cut off, or unpacks to more than {_MAX_UNPACKED} times its size")
    return unpacked


def dump(mapping: Mapping[str, Any]) -> bytes:
    """The bytes of a file that ``fluid.load_dygraph`` and ``load`` read back as ``mapping``.

    The form is that of ``fluid.save_dygraph``: pickle protocol 2 of a dict of arrays, whose
    name table the caller puts under ``NAME_TABLE``. Equal mappings (same keys in the same
    order) give equal bytes. Raises TypeError for what such a file cannot hold.
    """
    # Pickle writes an object it has met before as a reference, so identity shows in the bytes. In
    # what was read, equal texts are one object and no array is two.
    try:
        return pickle.dumps(loads(pickle.dumps(dict(mapping), protocol=2), "this"), protocol=2)
    except InputError as error:
        raise TypeError(str(error)) from error


class Bytes(io.BytesIO):
    """A file's bytes; ValueError where it ends too early, or where a line is too long.

    Only protocol 0 has lines. Their length bounds the digits of a number, which take quadratic
    time to convert.
    """

    longest_line = _MAX_LINE

    def read(self, size: Optional[int] = -1, /) -> bytes:
        content = super().read(size)
        if size is not None and len(content) < size:
            raise ValueError
        return content

    def readline(self, size: Optional[int] = -1, /) -> bytes:
        line = super().readline(self.longest_line)
        if not line.endswith(b"\n"):
            raise ValueError
        return line


class _Names(Dict[str, Any]):
    """A dict of the file: its keys are texts, none of them twice."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        _require(type(key) is str, "a key that is no text")
        _require(key not in self, f"the name {key[:80]!a} twice")
        super().__setitem__(key, value)


class _Named:
    """A function or class that the file names, or what calling it with ``given`` would make.

    It is not called. ``given`` ends with the state that what was made was given, if any.
    """

    def __init__(self, name: str, given: Optional[Tuple[Any, ...]] = None) -> None:
        self.name, self.given, self.has_state = name, given, False

    def __call__(self, *given: Any) -> Any:
        _require(self.given is None)
        return _Names() if (self.name, given) == ("OrderedDict", ()) else _Named(self.name, given)

    def __setstate__(self, state: Any) -> None:
        _require(self.given is not None and not self.has_state)
        self.given, self.has_state = (*cast(Tuple[Any, ...], self.given), state), True


class _Reader(_Unpickler):
    """The standard library's unpickler, held to what genuine files hold.

    Of its instructions it carries out those of ``_INSTRUCTIONS`` only.
    """

    def __init__(self, data: bytes) -> None:
        self._file, self._size = Bytes(data), len(data)
        super().__init__(self._file, encoding="latin1")
        self._instructions = 0
        # How many more items and bytes may come of the file. Its own size bounds neither: a
        # reference of two bytes can stand for a whole array, and each list of ten references to
        # a list before it multiplies the items by ten.
        self._items_left, self._bytes_left = MAX_INSTRUCTIONS, _MAX_GROWTH * len(data)
        # It looks up here what to do at each instruction's code.
        self.dispatch = self

    def load(self) -> Dict[str, Any]:
        """The dictionary that the file describes."""
        try:
            value = super().load()
        except ValueError as error:
            if self._file.tell() == self._size:
                cut = f"ends in the middle of its data (truncated after {self._size:,} bytes?)"
                raise _Refused(cut) from error
            raise
        excess = self._size - self._file.tell()
        _require(not excess, f"it goes on after its end: {excess:,} bytes")
        _require(not (self.stack or self.metastack))
        _require(type(value) is _Names and value, "no dictionary of arrays")
        return cast(Dict[str, Any], self._plain(value, MAX_NESTING))

    def __getitem__(self, code: int) -> Callable[["_Reader"], None]:
        """How to carry out the instruction that was read just now."""
        self._instructions += 1
        opcode = _OPCODES.get(chr(code))
        if self._instructions > MAX_INSTRUCTIONS:
            raise _Refused(f"is too large (more than {MAX_INSTRUCTIONS:,} instructions)")
        if opcode is None or opcode.name not in _INSTRUCTIONS:
            name = opcode.name if opcode else f"0x{code:02x}"
            raise _Refused(f"{_NOT_GENUINE} (instruction {name} at byte {self._file.tell() - 1})")
        is_text = opcode.name in ("STRING", "UNICODE")  # A whole array may lie on such a line.
        self._file.longest_line = -1 if is_text else _MAX_LINE
        own = getattr(_Reader, _Unpickler.dispatch[code].__name__)
        return cast(Callable[["_Reader"], None], own)

    def find_class(self, module: str, name: str) -> Any:
        """What stands in for a name: nothing is imported."""
        known = f"{module} {name}".replace("numpy._core.", "numpy.core.") in _NAMES
        dotted = f"{module}.{name}"[:80].encode("unicode_escape").decode()
        _require(known, f"it asks to run {dotted}; that was not run")
        return _Named(name)

    # What the standard library does in another way, or without looking.

    def load_frame(self) -> None:
        # Frames are for quicker reading; the bytes in them are read as any others.
        length = int.from_bytes(self.read(8), "little")
        start = self._file.tell()
        self._file.read(length)
        self._file.seek(start)

    def load_bytearray8(self) -> None:
        length = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(min(length, self._size))))

    def load_empty_dictionary(self) -> None:
        self.append(_Names())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_Names())
        for key, value in zip(items[::2], items[1::2]):
            self.stack[-1][key] = value

    # What the file describes.

    def _take(self, size: int) -> None:
        """Count an item of ``size`` bytes; refuse the file if that is more than may come."""
        self._items_left -= 1
        self._bytes_left -= size
        enough = self._items_left >= 0 and self._bytes_left >= 0
        _require(enough, "it grows far beyond its size when read")

    def _plain(self, value: Any, depth: int) -> Any:
        """``value`` as arrays, numbers, texts and fresh containers of them, nothing else."""
        self._take(len(value) if type(value) is str else 0)
        _require(depth, f"nested more than {MAX_NESTING} deep")
        if type(value) is _Names:
            inner = ((self._plain(k, 1), self._plain(v, depth - 1)) for k, v in value.items())
            return dict(inner)
        if type(value) in (list, tuple):
            return type(value)(self._plain(item, depth - 1) for item in value)
        if type(value) is _Named and value.name == "tuple":
            # ``tuple((name, array))``, as Paddle 2 and 3 write a tensor within a dict.
            (items,) = value.given or ()
            _require(type(items) is tuple)
            return self._plain(items, depth)
        if type(value) is _Named:
            return self._array(value)
        if type(value) is str:
            # Fit to be shown on a terminal: no line breaks, escapes or surrogates.
            is_name = len(value) <= MAX_NAME_LENGTH and value.isprintable()
            _require(is_name, f"the text {value[:80]!a}, which is no name")
            return sys.intern(value)
        _require(type(value) is not int or -(2**63) <= value < 2**63, "a number beyond 64 bits")
        known = value is None or type(value) in (bool, int, float)
        _require(known, "something other than arrays, numbers and names")
        return value

    def _array(self, named: _Named) -> Any:
        """The array, or NumPy's number, that a call of one of NumPy's functions describes."""
        given: Tuple[Any, ...] = named.given or ()
        order: Any = "C"
        if named.name == "_reconstruct" and named.has_state:
            # ``_reconstruct(ndarray, (0,), b'b')`` is an empty array, and the state all else.
            kind, empty, code, (version, shape, dtype, fortran, data) = given
            plain = kind.name == "ndarray" and empty == (0,) and _content(code) == b"b"
            _require(plain, "an array of another kind")
            _require(version == 1 and fortran in (0, 1))
            order = "F" if fortran else "C"
        elif named.name == "_frombuffer":  # as protocol 5 writes arrays
            data, dtype, shape, order = given
        else:  # some learning-rate schedules hold NumPy's numbers
            _require(named.name == "scalar", "something other than arrays, numbers and names")
            (dtype, data), shape = given, ()
        _require(order in ("C", "F") and type(shape) is tuple)
        possible = all(type(size) is int and 1 <= size < 2**63 for size in shape)
        _require(possible and len(shape) <= MAX_RANK, "an array of an impossible shape")
        kind, content = _dtype(dtype), _content(data)
        fits = math.prod(shape) * kind.itemsize == len(content)
        _require(fits, f"{len(content):,} bytes for a {kind} array of shape {list(shape)}")
        self._take(len(content))
        flat = np.frombuffer(content, dtype=kind)
        # The copy owns its memory and can be written to, unlike a view of the file's bytes.
        array = np.array(flat.reshape(shape, order=order), order="C")
        return array[()] if named.name == "scalar" else array


def _dtype(named: Any) -> "np.dtype[Any]":
    """That of ``dtype('f4', False, True)`` with a state that has the byte order."""
    _require(type(named) is _Named and named.name == "dtype" and named.has_state)
    code, align, copy, state = cast(Tuple[Any, ...], named.given)
    _require(type(code) is str and align in (0, 1) and copy in (0, 1))
    _require(code in _DTYPES, f"dtype {code[:80]!a}")
    order = "|" if _DTYPES[code].itemsize == 1 else "<"
    is_plain = state == (3, order, None, None, None, -1, -1, 0)
    _require(is_plain, "a dtype that is more than a little-endian number")
    return _DTYPES[code]


def _content(data: Any) -> bytes:
    """Bytes as each protocol has them."""
    if type(data) is _Named and data.name == "encode" and not data.has_state:
        # ``encode(text, 'latin1')``: as Python 3 writes bytes in the protocols of Python 2.
        data, encoding = data.given or ()
        _require(type(data) is str and encoding == "latin1", "an encoding other than latin1")
    _require(type(data) in (bytes, bytearray, str))
    # A byte string of Python 2 was read as latin1 text, as Paddle reads it.
    return data.encode("latin1") if type(data) is str else data


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_INSTRUCTIONS = frozenset(
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT"
    " BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES"
    " SHORT_BINBYTES BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND"
    " APPENDS EMPTY_DICT DICT SETITEM SETITEMS PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET"
    " LONG_BINGET GLOBAL STACK_GLOBAL INST REDUCE BUILD".split()
)

# What a genuine file names; ``numpy.core`` is ``numpy._core`` since NumPy 2. Paddle 2 and 3 write a
# state within a dict as an OrderedDict.
_NAMES = {
    "numpy.core.multiarray _reconstruct",
    "numpy.core.numeric _frombuffer",
    "numpy.core.multiarray scalar",
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",
    "collections OrderedDict",
    "builtins tuple",
}
