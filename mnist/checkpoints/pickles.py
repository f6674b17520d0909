"""Paddle's ``.pdparams`` and ``.pdopt`` files, read without running them.

Both are pickles, and an unpickler does what the file says: it imports modules and calls
functions. The one used here, the standard library's in Python, is held to those few
instructions that files written by ``fluid.save_dygraph`` hold. The functions such a file names
(NumPy's ``_reconstruct``, ``dtype``, …) are never imported or called either; each has a stand-in
below that checks its arguments and builds an array from bytes the file itself holds.

Read are files written by Python 2 and 3 (protocols 0 to 5) with NumPy 1 and 2. The format:
https://docs.python.org/3/library/pickle.html and the docstrings of ``pickletools``.
"""

import io
import math
import pickle
import pickletools
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union, cast

import numpy as np

from mnist.base.arrays import Array
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
_NDARRAY = object()  # stands in for the class


class _Refused(Exception):
    """What is wrong with the file, without its name."""


def _require(genuine: object, what: str = "") -> None:
    """Refuse a file that is damaged, or with ``what`` in it, which no genuine file has."""
    if not genuine:
        raise _Refused(f"{_NOT_GENUINE} ({what})" if what else _DAMAGED)


@dataclass(eq=False)
class _Dtype:
    """A dtype the file builds in two steps: ``dtype('f4', False, True)``, then its state."""

    dtype: "np.dtype[Any]"
    complete: bool = False


@dataclass(eq=False)
class _Array:
    """An array (or NumPy scalar) of the file; ``value`` is None until its state came."""

    value: Optional[Union[Array, np.generic]] = None


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
    return pickle.dumps(_canonical(mapping, {}), protocol=2)


def _canonical(value: Any, texts: Dict[str, str]) -> Any:
    """``value`` with equal texts being one object and no array being two.

    Pickle writes an object it has met before as a reference, so identity shows in the bytes.
    """
    if isinstance(value, str) and _is_name(value):
        return texts.setdefault(value, value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_canonical(key, texts): _canonical(item, texts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_canonical(item, texts) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (np.ndarray, np.generic)):
        dtype = _DTYPES.get(value.dtype.str[1:])
        if dtype is None or value.size == 0:
            raise TypeError(f"Paddle has no tensor of {value.dtype} {value.shape}")
        # The view is an object of its own, and its dtype without any metadata.
        array = np.asarray(value, dtype=dtype, order="C").view(dtype)
        return array if isinstance(value, np.ndarray) else array[()]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"{value!r:.80} does not belong into a file of parameters")


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

    def __setitem__(self, key: Any, value: Any) -> None:
        _require(type(key) is str, "a key that is no text")
        _require(key not in self, f"the name {key[:80]!a} twice")
        super().__setitem__(key, value)


class _Reader(_Unpickler):
    """The standard library's unpickler, held to what genuine files hold.

    Of its instructions it carries out those of ``_INSTRUCTIONS`` only; a name stands for one of
    the functions below, and for nothing else.
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

    def _take(self, size: int) -> None:
        """Count an item of ``size`` bytes; refuse the file if that is more than may come."""
        self._items_left -= 1
        self._bytes_left -= size
        enough = self._items_left >= 0 and self._bytes_left >= 0
        _require(enough, "it grows far beyond its size when read")

    def _plain(self, value: Any, depth: int) -> Any:
        """``value`` as arrays, numbers, texts and fresh containers of them, nothing else."""
        self._take(0)
        _require(depth, f"nested more than {MAX_NESTING} deep")
        if type(value) is _Names:
            return {self._text(k): self._plain(item, depth - 1) for k, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._plain(item, depth - 1) for item in value)
        if type(value) is _Array and value.value is not None:
            self._take(value.value.nbytes)
            return value.value
        if type(value) is str:
            return self._text(value)
        _require(type(value) is not int or -(2**63) <= value < 2**63, "a number beyond 64 bits")
        known = value is None or type(value) in (bool, int, float)
        _require(known, "something other than arrays, numbers and names")
        return value

    def _text(self, text: str) -> str:
        self._take(len(text))
        _require(_is_name(text), f"the text {text[:80]!a}, which is no name")
        return text

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
        known = _GLOBALS.get(f"{module} {name}".replace("numpy._core.", "numpy.core."))
        dotted = f"{module}.{name}"[:80].encode("unicode_escape").decode()
        _require(known, f"it asks to run {dotted}; that was not run")
        return _NDARRAY if known == "ndarray" else getattr(self, f"_{known}")

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

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        _require(type(state) is tuple)
        if type(target) is _Dtype and not target.complete:
            order = "|" if target.dtype.itemsize == 1 else "<"
            is_plain = state == (3, order, None, None, None, -1, -1, 0)
            _require(is_plain, "a dtype that is more than a little-endian number")
            target.complete = True
        else:
            _require(type(target) is _Array and target.value is None)
            version, shape, dtype, fortran, data = state
            _require(version == 1 and fortran in (0, 1))
            target.value = self._array(data, dtype, shape, "F" if fortran else "C")

    # What stands in for the functions that a genuine file names.

    def _reconstruct(self, kind: Any, shape: Any, code: Any) -> _Array:
        """``_reconstruct(ndarray, (0,), b'b')``: an empty array, as ndarray's pickling asks."""
        plain = code == ("b" if type(code) is str else b"b")
        _require(kind is _NDARRAY and shape == (0,) and plain, "an array of another kind")
        return _Array()

    def _frombuffer(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        """``_frombuffer(buffer, dtype, shape, order)``, as protocol 5 writes arrays."""
        _require(order in ("C", "F"))
        return _Array(self._array(data, dtype, shape, order))

    def _ordered(self) -> _Names:
        """``OrderedDict()``, as Paddle 2 and 3 write a state within a dict."""
        return _Names()

    def _tuple(self, items: Any) -> Tuple[Any, ...]:
        """``tuple((name, array))``, as Paddle 2 and 3 write a tensor there."""
        _require(type(items) is tuple)
        return cast(Tuple[Any, ...], items)

    def _scalar(self, dtype: Any, data: Any) -> _Array:
        """``scalar(dtype, bytes)``: a NumPy number, as some learning-rate schedules hold it."""
        return _Array(self._array(data, dtype, (), "C")[()])

    def _array(self, data: Any, dtype: Any, shape: Any, order: str) -> Array:
        _require(type(dtype) is _Dtype and dtype.complete)
        kind: np.dtype[Any] = dtype.dtype
        _require(type(data) in (bytes, bytearray, str) and type(shape) is tuple)
        possible = all(type(size) is int and 1 <= size < 2**63 for size in shape)
        _require(possible and len(shape) <= MAX_RANK, "an array of an impossible shape")
        fits = math.prod(shape) * kind.itemsize == len(data)
        _require(fits, f"{len(data):,} bytes for a {kind} array of shape {list(shape)}")
        self._take(len(data))
        # A byte string of Python 2 was read as latin1 text, as Paddle reads it.
        content = data.encode("latin1") if type(data) is str else data
        flat = np.frombuffer(content, dtype=kind)
        # The copy owns its memory and can be written to, unlike a view of the file's bytes.
        return np.array(flat.reshape(shape, order="F" if order == "F" else "C"), order="C")

    def _dtype(self, code: Any, align: Any, copy: Any) -> _Dtype:
        """``dtype('f4', False, True)``; the byte order comes with the state."""
        _require(type(code) is str and align in (0, 1) and copy in (0, 1))
        _require(code in _DTYPES, f"dtype {code[:80]!a}")
        return _Dtype(_DTYPES[code])

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """``encode(text, 'latin1')``, as Python 3 writes bytes in the protocols of Python 2."""
        _require(type(text) is str and encoding == "latin1", "an encoding other than latin1")
        self._take(len(text))
        return cast(str, text).encode("latin1")


def _is_name(text: str) -> bool:
    """Short, and fit to be shown on a terminal: no line breaks, escapes or surrogates."""
    return len(text) <= MAX_NAME_LENGTH and text.isprintable()


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_INSTRUCTIONS = frozenset(
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT"
    " BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES"
    " SHORT_BINBYTES BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND"
    " APPENDS EMPTY_DICT DICT SETITEM SETITEMS PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET"
    " LONG_BINGET GLOBAL STACK_GLOBAL INST REDUCE BUILD".split()
)

# The functions that a genuine file names, by the methods of ``_Reader`` that stand in for them;
# ``numpy.core`` is ``numpy._core`` since NumPy 2.
_GLOBALS = {
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy.core.multiarray scalar": "scalar",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    "collections OrderedDict": "ordered",
    "builtins tuple": "tuple",
}
