"""Make data/digits.json.gz: real handwriting in MNIST's form, small enough to keep here.

    python data/make_digits.py data/digits.json.gz

Run by hand, in any Python 3 with scikit-learn, which the project itself does not need. The
source is ``sklearn.datasets.load_digits``: the test set of "Optical Recognition of Handwritten
Digits" (Alpaydin and Kaynak 1998, UCI), 1,797 images of 8×8 pixels, of which each counts the
ink (0–16) of a 4×4 block of a 32×32 bitmap.

Each is drawn anew as MNIST draws: a smooth outline through the 64 counts, its longer side
scaled to 20 pixels, grey only where an edge crosses a pixel, the centre of mass in the middle
of 28×28. The splits keep the original order, so that mostly different people wrote them.
"""

import gzip
import json
import sys

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

SIDE = 28
BOX = 20
FINE = 16  # fine pixels to a pixel, in both the 8×8 source and the 28×28 result
OUTLINE = 0.6  # the share of ink at which paper becomes stroke
SHARPNESS = 1.5  # how quickly
SPLITS = (1197, 300, 300)


def main() -> None:
    """Write the file that the command line names."""
    source = load_digits()
    images = [to_mnist_form(image / 16).ravel().tolist() for image in source.images]
    labels = [int(label) for label in source.target]
    splits, start = [], 0
    for count in SPLITS:
        splits.append([images[start : start + count], labels[start : start + count]])
        start += count
    text = json.dumps(splits, separators=(",", ":")).encode()
    with open(sys.argv[1], "wb") as file:
        file.write(gzip.compress(text, 9, mtime=0))


def to_mnist_form(ink: np.ndarray) -> np.ndarray:
    """Ink shares 0–1 ``[8,8]`` → uint8 ``[28,28]``."""
    fine = ndimage.zoom(np.pad(ink, 1), FINE, order=3, grid_mode=True, mode="grid-constant")
    stroke = np.clip((fine - OUTLINE) * SHARPNESS + 0.5, 0, 1)
    rows, columns = np.nonzero(stroke > 0.5)
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    scale = longest / (BOX * FINE)  # source pixels to a fine pixel of the result
    centre = np.array(ndimage.center_of_mass(stroke))
    middle = (SIDE * FINE - 1) / 2
    drawn = ndimage.affine_transform(
        stroke,
        np.full(2, scale),
        offset=centre - scale * middle,
        output_shape=(SIDE * FINE, SIDE * FINE),
        order=1,
    )
    grey = drawn.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    return np.rint(255 * grey).astype(np.uint8)


if __name__ == "__main__":
    main()
