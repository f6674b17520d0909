"""Files of parameters that other programs made: what each is, and the arrays in it.

Nothing in them is run, and Paddle is not imported. Besides pickles (``mnist.checkpoints.pickles``)
there are LoDTensors (``SerializeToStream`` in paddle/fluid/framework/lod_tensor.cc and
``TensorToStream`` in tensor_util.cc) and programs (framework.proto there), all of 1.8.5's source;
protobuf's own parser reads the descriptions in them.
"""

import math
import os
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from runpy import run_path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, cast

import numpy as np
from google.protobuf.message import DecodeError

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input, read_input
from mnist.base.notes import warn
from mnist.checkpoints import course_pairs, pickles, records
from mnist.checkpoints.course_pairs import OPTIMIZER, PARAMETERS

MAX_PROGRAM_BYTES = 4 << 20  # protobuf takes some sixty times that, at the worst
MAX_TENSORS = 20_000  # in a file, and files in a folder
_MAX_LEVELS = 10
_MAX_DESCRIPTION = 1_000  # bytes of a tensor's type and shape

# By VarType.Type of framework.proto.
_DTYPES = {0: "?", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1"}
_LOD_TENSOR = 7

_PROGRAMS = ("__model__", "*.pdmodel")

# What a file begins with, and what it is then: nothing that can be read here.
_OTHERS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file (git lfs pull fetches it)"),
    (rb"(?i)\s*<(!doctype html|html)", "a web page: the download has failed"),
    (rb"(?s)PK\x03\x04.{0,4000}data\.pkl", "a PyTorch file: load it there, save NumPy arrays"),
    (rb"(?s)PK\x03\x04.{0,4000}\.npy", "a NumPy archive, which np.load reads"),
    (rb"PK\x03\x04", "a zip archive: unpack it and name what was in it"),
    (rb"\x80\x02\x8a\x0al\xfc\x9c\x46", "a PyTorch file: load it there, save NumPy arrays"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes: h5py reads it"),
    (rb"\x93NUMPY", "a NumPy array, which np.load reads"),
    (rb"(?s)\x08.\x12.{0,200}(onnx|pytorch|paddle|tf2onnx)", "an ONNX model: onnxruntime runs it"),
)


@dataclass
class Found:
    """What was found: ``kind`` in words, arrays of any type by name, and what belongs to them.

    ``names`` says what Paddle called a parameter that has a name of its own. ``optimizer`` is
    what a ``.pdopt`` holds, empty without one; ``told`` what a program says of how its net was
    meant.
    """

    path: Path
    kind: str
    arrays: Arrays
    names: Dict[str, str] = field(default_factory=dict)
    optimizer: Dict[str, Any] = field(default_factory=dict)
    told: Dict[str, str] = field(default_factory=dict)


def read(path: PathLike) -> Found:
    """What is in a file, a folder, or a pair by its prefix.

    Raises InputError, naming the file, for what holds no parameters, and says what it is instead.
    """
    if course_pairs.is_pair(path) and not os.path.isdir(path):
        return read_pair(path, resuming=False)
    given = find_input(path)
    if given.is_dir():
        return _read_folder(given)
    content = _content(given)
    if any(map(given.match, _PROGRAMS)):
        return _read_folder(given.parent)
    return _read_tensors(given, [given]) if _is_tensor(content) else _read_pickle(given, content)


def _read_folder(folder: Path) -> Found:
    if (folder / records.STATE).exists():
        found = read_pair(folder / records.PREFIX)
        found.kind = "a checkpoint of this project, used as it is: --checkpoint"
        return found
    pairs = sorted(folder.glob("*" + PARAMETERS))
    if len(pairs) > 1:
        names = ", ".join(path.stem for path in pairs[:20])
        raise InputError(f"{folder}: holds several pairs; name one: {folder}/… {names}")
    paths = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    visible = (path for path in paths if not path.name.startswith("."))
    if pairs:
        return read_pair(pairs[0], resuming=False)
    return _read_tensors(folder, islice(visible, MAX_TENSORS))


def read_pair(prefix: PathLike, resuming: bool = True) -> Found:
    """A pair by its prefix or one of its files.

    What is wrong with the ``.pdopt`` is a warning unless ``resuming``.
    """
    path = find_input(course_pairs.stem(os.fspath(prefix)) + PARAMETERS)
    optimizer_path = path.with_name(course_pairs.stem(path.name) + OPTIMIZER)
    for needed in (path, optimizer_path) if str(prefix).endswith(OPTIMIZER) else (path,):
        if not needed.exists():
            raise InputError(
                f"{needed}: does not exist; give a checkpoint folder, or the prefix of a pair like"
                f" mnist_epoch3{PARAMETERS} and mnist_epoch3{OPTIMIZER} (python -m mnist.adopt says"
                " what other files are)"
            )
    found = _read_pickle(path, _content(path))
    if optimizer_path.exists():
        try:
            found.optimizer = pickles.load(optimizer_path)
            found.optimizer.pop(pickles.NAME_TABLE, None)
        except InputError as error:
            if resuming:
                raise
            warn(f"{error}; nothing but resuming needs it")
    program = path.with_suffix(".pdmodel")
    if program.exists():
        order, found.told = _read_program(program)
        found.arrays = {n: found.arrays[n] for n in [*order, *found.arrays] if n in found.arrays}
        found.kind = "a static program (fluid.save, Paddle 1.6–1.8)"
    return found


def _read_tensors(path: Path, files: Iterable[Path]) -> Found:
    """LoDTensors, each a file or several in one, and perhaps a program beside them."""
    folder = path if path.is_dir() else path.parent
    files = sorted(files)
    beside = [*files, *sorted(folder.iterdir())]
    program = next((file for file in beside if any(map(file.match, _PROGRAMS))), None)
    order, told = _read_program(program) if program else ([], {})
    found: Arrays = {}
    others = []
    for file in files:
        content = read_input(file, pickles.MAX_FILE_BYTES)
        if _is_tensor(content):
            tensors = list(_tensors(content, file))
            # dygraph of 1.5 has a folder of its own for the optimizer.
            own = file.relative_to(folder).as_posix().replace("optimizers/", "")
            found.update([(own, tensors[0])] if len(tensors) == 1 else _named(tensors, order))
        elif file != program:
            others.append(f"{file.name} is {_looks_like(content) or 'no tensor of Paddle'}")
    if not found or not all(name.isprintable() for name in found):
        what = "names that cannot be shown" if found else "; ".join(others[:3]) or "it is empty"
        raise InputError(f"{path}: holds no parameters ({what})")
    ordered = [name for name in order if name in found]
    arrays = {name: found[name] for name in [*ordered, *sorted({*found} - {*ordered})]}
    arrays, optimizer = course_pairs.apart(arrays)
    made_by = "save_inference_model" if program else "save_params"
    made_by = "save_persistables" if optimizer else made_by
    kind = f"tensors of a static program (fluid.io.{made_by}, Paddle 0.x–1.8)"
    if any(name.startswith("unnamed") for name in arrays):
        kind += "; their names are in the program, which is not here: numbered"
    return Found(path, kind, arrays, {}, optimizer, told=told)


def _named(tensors: List[Array], order: List[str]) -> Iterator[Tuple[str, Array]]:
    """The tensors of one file by their names, by which Paddle sorts them; or by numbers."""
    # Sorted, a bias (b_0) comes before its weight (w_0).
    parts = enumerate("b" if array.ndim == 1 else "w" for array in tensors)
    unnamed = [f"unnamed{number // 2}.{part}" for number, part in parts]
    return zip(sorted(order) if len(order) == len(tensors) else unnamed, tensors)


def _read_pickle(path: Path, content: bytes) -> Found:
    try:
        values = pickles.loads(content, path)
    except InputError as error:
        if content[:1000].isascii() and b"numpy" not in content:
            raise InputError(f"{path}: is text, and holds no parameters") from error
        raise
    names = values.pop(pickles.NAME_TABLE, {})
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{path}: {pickles.NAME_TABLE} is no table of names")
    found = dict(_flat(values, "", names))
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    if not arrays:
        raise InputError(f"{path}: holds no parameters")
    kind = "a state_dict (paddle.save, Paddle 2.1–3.x)"
    if content[:1] != b"\x80" or content[1] < 3:
        python = "Python 3" if b"_codecs" in content else "Python 2, or packed"
        kind = f"a state_dict (save_dygraph of Paddle 1.6–1.8, {python})"
    beside = [name for name in found if name not in arrays]
    kind += f"; it also holds {', '.join(beside[:5])}" if beside else ""
    return Found(path, kind, arrays, names)


def _flat(values: Dict[str, Any], prefix: str, names: Dict[str, str]) -> Iterator[Tuple[str, Any]]:
    """What is in dicts within dicts, by dotted names; a tensor there comes with Paddle's name."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.", names)
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
            names[prefix + key] = str(value[0])
            yield prefix + key, value[1]
        else:
            yield prefix + key, value


def _content(path: Path) -> bytes:
    """A file's bytes; InputError for what is plainly something else."""
    content = read_input(path, pickles.MAX_FILE_BYTES)
    what = _looks_like(content)
    if what:
        raise InputError(f"{path}: is {what}")
    return content


def _looks_like(content: bytes) -> Optional[str]:
    """What a file is that cannot be read here; None if it may be one that can."""
    if not content:
        return "empty"
    return next((what for begins, what in _OTHERS if re.match(begins, content[:5000])), None)


def _is_tensor(content: bytes) -> bool:
    """Whether it begins with version 0 of a LoDTensor, and fewer levels than 256."""
    return content[:4] == bytes(4) and content[5:12] == bytes(7)


def _tensors(content: bytes, source: Path) -> Iterator[Array]:
    """The LoDTensors of a file, one after the other; InputError for anything else."""
    stream = pickles.Bytes(content)
    try:
        for _ in range(MAX_TENSORS):
            if stream.tell() == len(content):
                return
            yield _tensor(stream)
        raise ValueError(f"more than {MAX_TENSORS:,} tensors")
    except Exception as error:  # Whatever a hostile file can cause must end as one line.
        raise InputError(
            f"{source}: is damaged, or no tensor of Paddle 1.x (at byte {stream.tell():,}:"
            f" {' '.join(str(error).split()) or 'it ends too early'})"
        ) from error


def _tensor(stream: pickles.Bytes) -> Array:
    version, levels = _number(stream, 4), _number(stream, 8)
    if version or levels > _MAX_LEVELS:
        raise ValueError(f"version {version}, {levels} levels")
    for _ in range(levels):
        stream.read(_number(stream, 8))
    version, size = _number(stream, 4), _number(stream, 4)
    if version or size > _MAX_DESCRIPTION:
        raise ValueError(f"version {version}, a description of {size:,} bytes")
    description = _parsed(_described("VarType").TensorDesc, stream.read(size))
    shape, code = tuple(description.dims), description.data_type
    impossible = len(shape) > pickles.MAX_RANK or any(side < 1 for side in shape)
    if impossible or code not in _DTYPES:
        raise ValueError(f"type {code}, shape {list(shape[:20])}")
    dtype = np.dtype(_DTYPES[code])
    data = stream.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _parsed(kind: Any, content: bytes) -> Any:
    """What protobuf makes of all of ``content``; of less it would only warn."""
    with warnings.catch_warnings(record=True) as faults:
        warnings.simplefilter("always")
        message = kind.FromString(content)
    if faults:
        raise DecodeError(str(faults[0].message))
    return message


def _number(stream: pickles.Bytes, size: int) -> int:
    return int.from_bytes(stream.read(size), "little")


def _read_program(path: Path) -> Tuple[List[str], Dict[str, str]]:
    """The tensors that a ProgramDesc keeps, in the order of their use, and how it was meant.

    That is its activation and its pooling, where it has one kind of each. InputError for what is
    no ProgramDesc.
    """
    content = read_input(path, MAX_PROGRAM_BYTES)
    try:
        program = _parsed(_described("ProgramDesc"), content)
    except DecodeError as error:
        raise InputError(f"{path}: is damaged, or no program of Paddle ({error})") from error
    variables = chain.from_iterable(block.vars for block in program.blocks)
    tensors = (each for each in variables if each.persistable and each.type.type == _LOD_TENSOR)
    # What is no UTF-8 comes as bytes.
    kept = {each.name for each in tensors if isinstance(each.name, str)}
    operators = list(chain.from_iterable(block.ops for block in program.blocks))
    used = [n for each in operators for put in each.inputs for n in put.arguments if n in kept]
    poolings = chain.from_iterable(each.attrs for each in operators if each.type == "pool2d")
    means = {
        "activation": {each.type for each in operators} & {"relu", "sigmoid", "tanh"},
        "pooling": {each.s for each in poolings if each.name == "pooling_type"} & {"max", "avg"},
    }
    told = {key: values.pop() for key, values in means.items() if len(values) == 1}
    return [*dict.fromkeys([*used, *sorted(kept)])], told


@lru_cache(maxsize=None)
def _described(kind: str) -> Any:
    """A message of Paddle's own description of its formats, which is loaded without Paddle."""
    paddle = Path(str(cast(ModuleSpec, find_spec("paddle")).origin)).parent
    return run_path(str(paddle / "fluid" / "proto" / "framework_pb2.py"))[kind]
