"""Paddle's ``.pdparams`` and ``.pdopt`` files, read without running them.

Both are pickles, and an unpickler does what the file says: it imports modules and calls
functions. So none is used here. ``pickletools`` of the standard library, which only reads,
splits the file into its instructions, and an interpreter of our own carries out those few
that files written by ``fluid.save_dygraph`` hold. The functions such a file names (NumPy's
``_reconstruct``, ``dtype``, …) are never imported or called either; each has a stand-in
below that checks its arguments and builds an array from bytes the file itself holds.

Read are files written by Python 2 and 3 (protocols 0 to 5) with NumPy 1 and 2. The format:
https://docs.python.org/3/library/pickle.html and the docstrings of ``pickletools``.
"""

import codecs
import io
import math
import pickle
import pickletools
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union, cast

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
# Of one byte in the file: an array's is decoded, copied and handed out, a name's is
# handed out up to three times (as a key twice and as a value).
_MAX_GROWTH = 4

# The key under which ``save_dygraph`` stores structured name → parameter name.
NAME_TABLE = "StructuredToParameterName@@"

_WRITER = "fluid.save_dygraph"
_NOT_GENUINE = f"is not a file written by {_WRITER}"
_SO = f"so it {_NOT_GENUINE}"
_DAMAGED = f"is damaged or not a file written by {_WRITER}"

# Paddle's tensor types, in the little-endian form that pickled NumPy dtypes have.
_DTYPES = {
    code: np.dtype(f"<{code}") for code in ("b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}

_NDARRAY = object()  # stands in for the class


class _Refused(Exception):
    """What is wrong with the file, without its name."""


def _damaged_if(wrong: object) -> None:
    if wrong:
        raise _Refused(_DAMAGED)


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
        if not data:
            raise _Refused("is empty")
        budget = _Budget(MAX_INSTRUCTIONS, _MAX_GROWTH * len(data))
        value = _Interpreter(data, budget).run()
        if type(value) is not dict or not value:
            raise _Refused(f"holds no dictionary of arrays, {_SO}")
        return cast(Dict[str, Any], _plain(value, budget, MAX_NESTING))
    except _Refused as refusal:
        raise InputError(f"{source}: {refusal}") from refusal
    except MemoryError as error:
        raise InputError(f"{source}: needs more memory than there is") from error
    # Every fault a hostile file can cause in the code above must end as one line.
    except Exception as error:
        raise InputError(f"{source}: {_DAMAGED} ({type(error).__name__})") from error


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


class _Bytes(io.BytesIO):
    """A file's bytes; a line, which only protocol 0 has, is read up to ``_MAX_LINE`` bytes.

    It bounds the digits of a number, which take quadratic time to convert.
    """

    def readline(self, size: Optional[int] = -1, /) -> bytes:
        return super().readline(_MAX_LINE)

    def read_text_line(self) -> bytes:
        """A line of any length, without its end: a whole array may lie on it."""
        line = super().readline()
        if not line.endswith(b"\n"):
            raise _truncated(len(self.getbuffer()))
        return line[:-1]


class _Interpreter:
    """The pickle machine: a stack, the stacks below open MARKs, and the memo."""

    def __init__(self, data: bytes, budget: "_Budget") -> None:
        self._budget = budget
        self._file = _Bytes(data)
        self._size = len(data)
        self._stack: List[Any] = []
        self._below_marks: List[List[Any]] = []
        self._memo: Dict[int, Any] = {}

    def run(self) -> Any:
        """The one object that the file describes, of our stand-ins and plain values."""
        for _ in range(MAX_INSTRUCTIONS):
            name, argument = self._next_instruction()
            if name == "STOP":
                return self._result()
            _HANDLERS[name](self, argument)
        raise _Refused(f"holds more than {MAX_INSTRUCTIONS:,} instructions, {_SO}")

    def _next_instruction(self) -> Tuple[str, Any]:
        at = self._file.tell()
        code = self._file.read(1)
        if not code:
            raise _truncated(self._size)
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise _Refused(f"{_NOT_GENUINE} (unknown instruction 0x{code.hex()} at byte {at})")
        if opcode.name not in _HANDLERS:
            raise _Refused(f"{_NOT_GENUINE} (instruction {opcode.name} at byte {at})")
        if opcode.name in _TEXT_LINES:
            return opcode.name, _TEXT_LINES[opcode.name](self._file.read_text_line())
        if opcode.arg is None:
            return opcode.name, None
        try:
            return opcode.name, opcode.arg.reader(self._file)
        except ValueError as error:
            if self._file.tell() == self._size:
                raise _truncated(self._size) from error
            raise

    def _result(self) -> Any:
        excess = self._size - self._file.tell()
        if excess:
            raise _Refused(f"goes on after its end ({excess:,} bytes), {_SO}")
        _damaged_if(len(self._stack) != 1 or self._below_marks)
        return self._stack[0]

    # The instructions. `argument` is what pickletools read behind the opcode.

    def push(self, argument: Any) -> None:
        self._stack.append(argument)

    def protocol(self, argument: int) -> None:
        if argument > 5 or self._file.tell() != 2:
            raise _Refused(f"{_NOT_GENUINE} (protocol {argument})")

    def frame(self, argument: int) -> None:
        if argument > self._size - self._file.tell():
            raise _truncated(self._size)

    def mark(self, _: None) -> None:
        self._below_marks.append(self._stack)
        self._stack = []

    def since_mark(self) -> List[Any]:
        items = self._stack
        self._stack = self._below_marks.pop()
        return items

    def dict_since_mark(self, _: None) -> None:
        items = self.since_mark()
        self.push({})
        self.store(items)

    def tuple_of(self, count: int) -> None:
        items = [self._stack.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, _: None) -> None:
        self.extend([self._stack.pop()])

    def extend(self, items: List[Any]) -> None:
        target = self._stack[-1]
        _damaged_if(type(target) is not list)
        target.extend(items)

    def set_item(self, _: None) -> None:
        value = self._stack.pop()
        self.store([self._stack.pop(), value])

    def store(self, items: List[Any]) -> None:
        """Put keys and values, alternating, into the dict on top of the stack."""
        target = self._stack[-1]
        _damaged_if(type(target) is not dict or len(items) % 2)
        for key, value in zip(items[::2], items[1::2]):
            if type(key) is not str:
                raise _Refused(f"has a key that is no text, {_SO}")
            if key in target:
                raise _Refused(f"holds the name {_shown(key)} twice, {_SO}")
            target[key] = value

    def put(self, argument: int) -> None:
        if not 0 <= argument < MAX_INSTRUCTIONS:
            raise _Refused(f"{_NOT_GENUINE} (an impossible memo index)")
        self._memo[argument] = self._stack[-1]

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, argument: int) -> None:
        self.push(self._memo[argument])

    def named_global(self, argument: str) -> None:
        if argument not in _GLOBALS:
            raise _asks_to_run(argument)
        self.push(_GLOBALS[argument])

    def stack_global(self, _: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        _damaged_if(type(name) is not str or type(module) is not str)
        self.named_global(f"{module} {name}")

    def instance(self, argument: str) -> None:
        raise _asks_to_run(argument)

    def reduce(self, _: None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        _damaged_if(type(function) is not FunctionType or type(arguments) is not tuple)
        self.push(function(arguments, self._budget))

    def build(self, _: None) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        _damaged_if(type(state) is not tuple)
        if type(target) is _Dtype and not target.complete:
            _check_dtype_state(target.dtype, state)
            target.complete = True
        elif type(target) is _Array and target.value is None:
            target.value = _array_of_state(state, self._budget)
        else:
            raise _Refused(_DAMAGED)


def _reconstruct(arguments: Tuple[Any, ...], _: "_Budget") -> _Array:
    """``_reconstruct(ndarray, (0,), b'b')``: an empty array, as ndarray's pickling asks for."""
    kind, shape, code = arguments
    plain = code == ("b" if type(code) is str else b"b")
    if kind is not _NDARRAY or shape != (0,) or not plain:
        raise _Refused(f"asks for an array of another kind, {_SO}")
    return _Array()


def _array_of_state(state: Tuple[Any, ...], budget: "_Budget") -> Array:
    """An array's pickled state: version 1, shape, dtype, whether Fortran order, bytes."""
    version, shape, dtype, is_fortran, data = state
    _damaged_if(version != 1 or is_fortran not in (0, 1))
    return _array(data, dtype, shape, "F" if is_fortran else "C", budget)


def _from_buffer(arguments: Tuple[Any, ...], budget: "_Budget") -> _Array:
    """``_frombuffer(buffer, dtype, shape, order)``, as protocol 5 writes arrays."""
    data, dtype, shape, order = arguments
    _damaged_if(order not in ("C", "F"))
    return _Array(_array(data, dtype, shape, order, budget))


def _array(data: Any, dtype: Any, shape: Any, order: str, budget: "_Budget") -> Array:
    _damaged_if(type(dtype) is not _Dtype or not dtype.complete)
    kind: np.dtype[Any] = dtype.dtype
    _damaged_if(type(data) not in (bytes, bytearray, str) or type(shape) is not tuple)
    if len(shape) > MAX_RANK:
        raise _Refused(f"holds an array of more than {MAX_RANK} dimensions, {_SO}")
    if any(type(size) is not int or not 1 <= size < 2**63 for size in shape):
        raise _Refused(f"holds an array of an impossible shape, {_SO}")
    if math.prod(shape) * kind.itemsize != len(data):
        held = f"{len(data):,} bytes for a {kind} array of shape {list(shape)}"
        raise _Refused(f"holds {held}, so it {_DAMAGED}")
    budget.take(len(data))
    # A byte string of Python 2 was read as latin1 text, as Paddle reads it.
    content = data.encode("latin1") if type(data) is str else data
    flat = np.frombuffer(content, dtype=kind)
    # The copy owns its memory and can be written to, unlike a view of the file's bytes.
    return np.array(flat.reshape(shape, order="F" if order == "F" else "C"), order="C")


def _scalar(arguments: Tuple[Any, ...], budget: "_Budget") -> _Array:
    """``scalar(dtype, bytes)``: a NumPy number, as some learning-rate schedules hold it."""
    dtype, data = arguments
    return _Array(_array(data, dtype, (), "C", budget)[()])


def _dtype(arguments: Tuple[Any, ...], _: "_Budget") -> _Dtype:
    """``dtype('f4', False, True)``; the byte order comes with the state."""
    code, align, copy = arguments
    _damaged_if(type(code) is not str or align not in (0, 1) or copy not in (0, 1))
    if code not in _DTYPES:
        raise _Refused(f"asks for an array of dtype {_shown(code)}, {_SO}")
    return _Dtype(_DTYPES[code])


def _check_dtype_state(dtype: "np.dtype[Any]", state: Tuple[Any, ...]) -> None:
    """Refuse all but plain numbers: no fields, sub-arrays, metadata; little-endian."""
    order = "|" if dtype.itemsize == 1 else "<"
    if state != (3, order, None, None, None, -1, -1, 0):
        raise _Refused(f"asks for a dtype that is more than a plain number, {_SO}")


def _encode(arguments: Tuple[Any, ...], budget: "_Budget") -> bytes:
    """``encode(text, 'latin1')``, as Python 3 writes bytes in the protocols of Python 2."""
    text, encoding = arguments
    if type(text) is not str or encoding != "latin1":
        raise _Refused(f"asks for an encoding other than latin1, {_SO}")
    budget.take(len(text))
    return text.encode("latin1")


@dataclass
class _Budget:
    """How many more items and bytes may come of a file.

    Its own size bounds neither: a reference of two bytes can stand for a whole array, and
    each list of ten references to a list before it multiplies the items by ten.
    """

    items: int
    size: int

    def take(self, size: int) -> None:
        """Count an item of ``size`` bytes; refuse the file if that is more than may come."""
        self.items -= 1
        self.size -= size
        if self.items < 0 or self.size < 0:
            raise _Refused(f"grows far beyond its size when read, {_SO}")


def _plain(value: Any, budget: _Budget, depth: int) -> Any:
    """``value`` as arrays, numbers, texts and fresh containers of them, nothing else."""
    budget.take(0)
    if depth == 0:
        raise _Refused(f"is nested more than {MAX_NESTING} deep, {_SO}")
    if type(value) is dict:
        return {_text(k, budget): _plain(item, budget, depth - 1) for k, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item, budget, depth - 1) for item in value)
    if type(value) is _Array and value.value is not None:
        budget.take(value.value.nbytes)
        return value.value
    if type(value) is str:
        return _text(value, budget)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise _Refused(f"holds a number beyond 64 bits, {_SO}")
    if value is None or type(value) in (bool, int, float):
        return value
    raise _Refused(f"holds something other than arrays, numbers and names, {_SO}")


def _text(text: str, budget: _Budget) -> str:
    budget.take(len(text))
    if not _is_name(text):
        raise _Refused(f"holds the text {_shown(text)}, which is no name, {_SO}")
    return text


def _is_name(text: str) -> bool:
    """Short, and fit to be shown on a terminal: no line breaks, escapes or surrogates."""
    return len(text) <= MAX_NAME_LENGTH and text.isprintable()


def _asks_to_run(module_and_name: str) -> _Refused:
    dotted = _shown(module_and_name.replace(" ", "."))
    which = f"which no file written by {_WRITER} does"
    return _Refused(f"asks to run {dotted}, {which}; it was not run")


def _truncated(size: int) -> _Refused:
    return _Refused(f"ends in the middle of its data (truncated after {size:,} bytes?)")


def _shown(text: str) -> str:
    """``text`` fit for an error message: short, and printable ASCII only."""
    start = text[:80].encode("unicode_escape").decode("ascii")
    return start if len(text) <= 80 else f"{start}…"


def _python2_string(line: bytes) -> str:
    """A byte string as protocol 0 has it, ``'…'`` with escapes; read as latin1 text."""
    _damaged_if(len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:])
    # As the unpickler does it; typeshed takes the result for a str.
    return cast(bytes, codecs.escape_decode(line[1:-1])[0]).decode("latin1")


# The functions that a genuine file names, and what stands in for them.
_FUNCTIONS: Dict[str, Callable[[Tuple[Any, ...], _Budget], Any]] = {
    "multiarray _reconstruct": _reconstruct,
    "numeric _frombuffer": _from_buffer,
    "multiarray scalar": _scalar,
}
_GLOBALS = {
    **{f"numpy.core.{name}": function for name, function in _FUNCTIONS.items()},
    **{f"numpy._core.{name}": function for name, function in _FUNCTIONS.items()},
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _dtype,
    "_codecs encode": _encode,
}

# pickletools takes the texts of protocol 0 for ASCII; Python 2 put arrays' bytes into them.
_TEXT_LINES: Dict[str, Callable[[bytes], str]] = {
    "STRING": _python2_string,
    "UNICODE": lambda line: line.decode("raw-unicode-escape"),
}

_PUSHED = (
    "STOP", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINBYTES", "SHORT_BINBYTES", "BYTEARRAY8",
)  # fmt: skip
_HANDLERS: Dict[str, Callable[[_Interpreter, Any], None]] = {
    "PROTO": _Interpreter.protocol,
    "FRAME": _Interpreter.frame,
    **dict.fromkeys(_PUSHED, _Interpreter.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": _Interpreter.mark,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "APPEND": _Interpreter.append,
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": _Interpreter.dict_since_mark,
    "SETITEM": _Interpreter.set_item,
    "SETITEMS": lambda machine, _: machine.store(machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Interpreter.put),
    "MEMOIZE": _Interpreter.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Interpreter.get),
    "GLOBAL": _Interpreter.named_global,
    "STACK_GLOBAL": _Interpreter.stack_global,
    "INST": _Interpreter.instance,
    "REDUCE": _Interpreter.reduce,
    "BUILD": _Interpreter.build,
}

_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}
