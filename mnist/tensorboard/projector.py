"""Files for TensorBoard's projector: vectors, what each stands for, and little pictures.

tb-paddle's own writer appends to the list of sets in place and writes into it before the
set is there. Here the list, which alone TensorBoard looks for, comes last.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence

import cv2
import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import failing_as
from mnist.base.files import atomic_write
from mnist.config.classes import answers, noun
from mnist.data.dataset import Split
from mnist.model import inside
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation
from mnist.tensorboard import drawing

# More points make the projector slow.
_TABLE_ROWS = 2000

_LIST = "projector_config.pbtxt"
_FOLDER = "projector"
_PLACE = "row {}, column {}, grey level {}"


@dataclass(frozen=True)
class VectorSet:
    """Vectors, float ``[N,D]``, under a name that can be a folder's.

    ``columns``: at least two headings, each with N values to label or colour points by.
    ``images``: uint8 ``[N,H,W]``, drawn at the points.
    """

    name: str
    vectors: Array
    columns: Dict[str, Sequence[Any]]
    images: Optional[Array] = None


def write(folder: Path, sets: Iterable[VectorSet]) -> None:
    """Write the sets beside a run's event files, where the projector finds them.

    Raises Failure for what the disk refuses; then there is no list, and nothing is shown.
    """
    entries = [_write_set(folder, vectors) for vectors in sets]
    with atomic_write(folder / _LIST) as file:
        file.write("".join(entries).encode())


def remove(folder: Path) -> None:
    """Remove what ``write`` left: the list first, so that it never names files that are gone.

    Raises Failure if that is not permitted.
    """
    with failing_as(f"{folder / _FOLDER}: cannot be removed"):
        for path in files_in(folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def files_in(folder: Path) -> List[Path]:
    """What ``write`` left in a folder; they can be moved together, the list first."""
    return [path for path in (folder / _LIST, folder / _FOLDER) if path.exists()]


def _write_set(folder: Path, given: VectorSet) -> str:
    """Write a set's files and return its entry in the list."""
    place = Path(_FOLDER) / given.name
    with atomic_write(folder / place / "vectors.tsv") as file:
        np.savetxt(file, given.vectors, fmt="%.5g", delimiter="\t")
    with atomic_write(folder / place / "labels.tsv") as file:
        rows = [tuple(given.columns), *zip(*given.columns.values())]
        file.write("".join("\t".join(map(str, row)) + "\n" for row in rows).encode())
    lines = [
        f'tensor_name: "{given.name}"',
        f'tensor_path: "{place}/vectors.tsv"',
        f'metadata_path: "{place}/labels.tsv"',
    ]
    if given.images is not None:
        with atomic_write(folder / place / "sprites.png") as file:
            file.write(cv2.imencode(".png", drawing.sprites(given.images))[1].tobytes())
        height, width = given.images.shape[1:]
        sizes = f"single_image_dim: {width} single_image_dim: {height}"
        lines.append(f'sprite {{ image_path: "{place}/sprites.png" {sizes} }}')
    return "embeddings {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def digit_vectors(
    model: Model, split: Split, result: Evaluation, points: int
) -> Optional[VectorSet]:
    """What the last layer sees of digits from the whole of ``split``."""
    count = min(points, len(split))
    chosen = np.linspace(0, len(split) - 1, count).astype(np.int64)
    vectors = inside.features(model, split.images[chosen])
    if vectors is None:
        return None
    names = np.array(answers(result.classes))
    labels, digits = names[result.labels[chosen]], names[result.digits[chosen]]
    columns = {
        # The projector labels points by the first column that is not all numbers.
        "reading": [f"{label}, read as {digit}" for label, digit in zip(labels, digits)],
        "label": labels,
        "read as": digits,
        "right": np.where(labels == digits, "yes", "no"),
        "confidence": np.round(result.confidences[chosen], 4),
    }
    return VectorSet(f"eval_{noun(result.classes)}s", vectors, columns, split.images[chosen])


def table_vectors(model: Model) -> Optional[VectorSet]:
    """The longest rows of the model's ``Embedding``; training has hardly touched the short."""
    table = inside.embedding_table(model)
    if table is None:
        return None
    norms = np.linalg.norm(table, axis=1)
    chosen = np.argsort(-norms, kind="stable")[:_TABLE_ROWS]
    places = [inside.place_of_row(model, int(row)) for row in chosen]
    columns: Dict[str, Any] = {
        "token": [
            _PLACE.format(*place) if place else f"row {row} of the table"
            for row, place in zip(chosen, places)
        ],
        "row of the table": chosen,
        "norm": np.round(norms[chosen], 4),
    }
    for index, heading in enumerate(("pixel row", "pixel column", "grey level")):
        columns[heading] = [place[index] if place else "" for place in places]
    return VectorSet("embedding_table", table[chosen], columns)
