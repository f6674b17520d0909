"""Files of parameters that other programs made: what each is, and the arrays in it.

Nothing in them is run, and Paddle is not imported. Besides pickles (``mnist.checkpoints.pickles``)
there are LoDTensors (``SerializeToStream`` in paddle/fluid/framework/lod_tensor.cc and
``TensorToStream`` in tensor_util.cc) and programs (framework.proto there), all of 1.8.5's source;
protobuf's own parser reads the descriptions in them.
"""

import math
import os
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input, read_input
from mnist.checkpoints import course_pairs, pickles, records
from mnist.checkpoints.shapes import natural

MAX_PROGRAM_BYTES = 8 << 20  # protobuf takes some forty times that, at the worst
MAX_TENSORS = 20_000  # in a file, and files in a folder
_MAX_LEVELS = 10
_MAX_DESCRIPTION = 1_000  # bytes of a tensor's type and shape

# By VarType.Type of framework.proto.
_DTYPES = {0: "?", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1"}
_LOD_TENSOR = 7
_ACTIVATIONS = {"relu", "sigmoid", "tanh"}

_PROGRAM = "__model__"
_PROGRAM_SUFFIX = ".pdmodel"
_SAFETENSORS = "weights.safetensors"

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
    (rb"(?s).{257}ustar", "a tar archive: unpack it and name what was in it"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|%PDF", "a picture or document"),
)


@dataclass
class Found:
    """What was found: ``kind`` in words, arrays of any type by name, and what belongs to them.

    ``names`` says what Paddle called a parameter that has a name of its own. ``optimizer`` is
    what a ``.pdopt`` holds, empty without one, and ``trouble`` why that could not be read.
    ``told`` is what a program says of how its net was meant.
    """

    path: Path
    kind: str
    arrays: Arrays
    names: Dict[str, str] = field(default_factory=dict)
    optimizer: Dict[str, Any] = field(default_factory=dict)
    trouble: Optional[str] = None
    told: Dict[str, Any] = field(default_factory=dict)


@dataclass
class _Program:
    """The tensors that a program keeps, in the order of their use, and what it tells."""

    names: List[str] = field(default_factory=list)
    told: Dict[str, Any] = field(default_factory=dict)


def read(path: PathLike) -> Found:
    """What is in a file, a folder, or a pair by its prefix.

    Raises InputError, naming the file, for what holds no parameters, and says what it is instead.
    """
    if course_pairs.is_pair(path) and not os.path.isdir(path):
        return read_pair(Path(path))
    given = find_input(path)
    if given.is_dir():
        return _read_folder(given)
    if given.name == _PROGRAM or given.suffix == _PROGRAM_SUFFIX:
        return _read_folder(given.parent)
    return _read_file(given)


def _read_folder(folder: Path) -> Found:
    if (folder / records.STATE).exists():
        found = read_pair(folder / records.PREFIX)
        found.kind = "a checkpoint of this project, used as it is: --checkpoint"
        return found
    if (folder / _SAFETENSORS).exists():
        return _read_file(folder / _SAFETENSORS)
    pairs = sorted(folder.glob("*" + course_pairs.PARAMETERS))
    if len(pairs) > 1:
        names = ", ".join(path.stem for path in sorted(pairs, key=lambda p: natural(p.name))[:20])
        raise InputError(f"{folder}: holds several pairs; name one: {folder}/… {names}")
    return read_pair(pairs[0]) if pairs else _read_tensors(folder)


def _read_tensors(folder: Path) -> Found:
    """A folder of LoDTensors, each a file or several in one, and perhaps a program."""
    paths = (Path(at, name) for at, _, names in sorted(os.walk(folder)) for name in sorted(names))
    files = [path for path in islice(paths, MAX_TENSORS) if not path.name.startswith(".")]
    programs = [p for p in files if p.name == _PROGRAM or p.suffix == _PROGRAM_SUFFIX]
    program = _read_program(programs[0]) if programs else _Program()
    arrays: Arrays = {}
    rest = []
    for file in sorted(set(files) - set(programs)):
        content = read_input(file, pickles.MAX_FILE_BYTES)
        if not _is_tensor(content):
            rest.append(f"{file.name} is {_looks_like(content) or 'no tensor of Paddle'}")
            continue
        tensors = list(_tensors(content, file))
        own = file.relative_to(folder).as_posix()
        # The folder that dygraph of 1.5 has for its optimizer.
        own = own[len("optimizers/") :] if own.startswith("optimizers/") else own
        arrays.update([(own, tensors[0])] if len(tensors) == 1 else _named(tensors, program))
    if not arrays:
        what = "; ".join(rest[:3]) or "it is empty"
        raise InputError(f"{folder}: holds no parameters ({what})")
    return _of_tensors(folder, arrays, program, bool(programs))


def _of_tensors(path: Path, arrays: Arrays, program: _Program, has_program: bool) -> Found:
    """Parameters in the order of their use, the optimizer's tensors apart."""
    order = [name for name in program.names if name in arrays]
    ordered = {name: arrays[name] for name in [*order, *sorted(set(arrays) - set(order))]}
    parameters, optimizer = course_pairs.apart(ordered)
    made_by = "save_inference_model" if has_program else "save_params"
    made_by = "save_persistables" if optimizer else made_by
    kind = f"tensors of a static program (fluid.io.{made_by}, Paddle 0.x–1.8)"
    if any(name.startswith("unnamed") for name in arrays):
        kind += "; their names are in the program, which is not here: numbered"
    return Found(path, kind, parameters, {}, optimizer, told=program.told)


def _named(tensors: List[Array], program: _Program) -> Iterator[Tuple[str, Array]]:
    """The tensors of one file by their names, by which Paddle sorts them; or by numbers."""
    names = sorted(program.names)
    if len(names) == len(tensors):
        return zip(names, tensors)
    # Sorted, a bias (b_0) comes before its weight (w_0).
    parts = ["b" if array.ndim == 1 else "w" for array in tensors]
    return zip((f"unnamed{n // 2}.{part}" for n, part in enumerate(parts)), tensors)


def read_pair(given: Path) -> Found:
    """A ``.pdparams``, with the ``.pdopt`` beside it if that can be read."""
    stem = course_pairs.stem(str(given))
    path = find_input(stem + course_pairs.PARAMETERS)
    stem = course_pairs.stem(str(path))
    optimizer_path = Path(stem + course_pairs.OPTIMIZER)
    for needed in (path, optimizer_path) if given.suffix == course_pairs.OPTIMIZER else (path,):
        if not needed.exists():
            raise InputError(
                f"{needed}: does not exist; give a checkpoint folder, or the prefix of a pair"
                f" like mnist_epoch3{course_pairs.PARAMETERS} and mnist_epoch3"
                f"{course_pairs.OPTIMIZER} (of any other file, python -m mnist.adopt says what"
                " it is)"
            )
    found = _read_file(path)
    if optimizer_path.exists():
        try:
            found.optimizer = pickles.load(optimizer_path)
            found.optimizer.pop(pickles.NAME_TABLE, None)
        except InputError as error:
            found.trouble = str(error)
    program = Path(stem + _PROGRAM_SUFFIX)
    if program.exists():
        content = _read_program(program)
        order = [name for name in content.names if name in found.arrays]
        found.arrays = {**{name: found.arrays[name] for name in order}, **found.arrays}
        found.kind, found.told = "a static program (fluid.save, Paddle 1.6–1.8)", content.told
    return found


def _read_file(path: Path) -> Found:
    content = read_input(path, pickles.MAX_FILE_BYTES)
    what = _looks_like(content)
    if what:
        raise InputError(f"{path}: is {what}")
    if _is_tensor(content):
        beside = [path.with_name(_PROGRAM), path.with_suffix(_PROGRAM_SUFFIX)]
        programs = [each for each in beside if each.exists()]
        program = _read_program(programs[0]) if programs else _Program()
        tensors = list(_tensors(content, path))
        arrays = {path.name: tensors[0]} if len(tensors) == 1 else dict(_named(tensors, program))
        return _of_tensors(path, arrays, program, bool(programs))
    if content[8:10] == b'{"':
        return Found(path, "arrays (safetensors)", _read_safetensors(content, path))
    try:
        return _of_pickle(path, content, pickles.loads(content, path))
    except InputError as error:
        if content[:1000].isascii() and b"numpy" not in content:
            raise InputError(f"{path}: is text, and holds no parameters") from error
        raise


def _of_pickle(path: Path, content: bytes, values: Dict[str, Any]) -> Found:
    names = values.pop(pickles.NAME_TABLE, {})
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{path}: {pickles.NAME_TABLE} is no table of names")
    found = dict(_flat(values, "", names))
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    if not arrays:
        raise InputError(f"{path}: holds no parameters")
    protocol = content[1] if content[:1] == b"\x80" else 0
    kind = "a state_dict (paddle.save, Paddle 2.1–3.x)"
    if protocol < 3:
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


def _read_safetensors(content: bytes, path: Path) -> Arrays:
    import safetensors
    import safetensors.numpy

    try:
        return dict(safetensors.numpy.load(content))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is a damaged safetensors file ({error})") from error


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
    description = _protobuf().VarType.TensorDesc.FromString(stream.read(size))
    shape = tuple(description.dims)
    if description.data_type not in _DTYPES or len(shape) > pickles.MAX_RANK:
        raise ValueError(f"type {description.data_type}, {len(shape)} dimensions")
    if any(side < 1 for side in shape):
        raise ValueError(f"shape {list(shape)}")
    dtype = np.dtype(_DTYPES[description.data_type])
    data = stream.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _number(stream: pickles.Bytes, size: int) -> int:
    return int.from_bytes(stream.read(size), "little")


def _read_program(path: Path) -> _Program:
    """What a ProgramDesc keeps and tells; InputError for anything else."""
    content = read_input(path, MAX_PROGRAM_BYTES)
    program = _protobuf().ProgramDesc()
    try:
        program.ParseFromString(content)
    except Exception as error:  # protobuf's own DecodeError, or what it lets through
        raise InputError(f"{path}: is damaged, or no program of Paddle ({error})") from error
    kept = {
        variable.name
        for block in program.blocks
        for variable in block.vars
        if variable.persistable and variable.type.type == _LOD_TENSOR
    }
    operators = [operator for block in program.blocks for operator in block.ops]
    used = [n for each in operators for put in each.inputs for n in put.arguments if n in kept]
    return _Program([*dict.fromkeys([*used, *sorted(kept)])], _told(operators))


def _told(operators: List[Any]) -> Dict[str, Any]:
    """How a program's net was meant, where it has one activation and one kind of pooling."""
    kinds = {operator.type for operator in operators}
    pooled = {
        attribute.s
        for operator in operators
        for attribute in operator.attrs
        if operator.type == "pool2d" and attribute.name == "pooling_type"
    }
    found = {"activation": kinds & _ACTIVATIONS, "pooling": pooled & {"max", "avg"}}
    return {key: values.pop() for key, values in found.items() if len(values) == 1}


@lru_cache(maxsize=None)
def _protobuf() -> Any:
    """Paddle's own description of its formats, loaded without Paddle."""
    found = find_spec("paddle")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "fluid" / "proto" / "framework_pb2.py"
    name = "paddle.fluid.proto.framework_pb2"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location("mnist_framework_pb2", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
