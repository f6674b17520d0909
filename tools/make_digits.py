"""Make data/digits.json.gz: real handwriting in MNIST's form, small enough to keep here.

Run by hand, from the project's folder, in an environment of its own (scikit-learn is needed
for nothing else), which data/README.md describes:

    python tools/make_digits.py data/digits.json.gz

The source is ``sklearn.datasets.load_digits``: the test set of "Optical Recognition of
Handwritten Digits" (Alpaydin and Kaynak 1998, UCI), 1,797 images of 8×8 pixels, each of which
counts the ink (0–16) in a 4×4 block of a 32×32 bitmap.
"""

import gzip
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mnist.base.files import atomic_write
from mnist.pictures import normalize

SPLITS = (1197, 300, 300)
LEVELS = 16
# Fine pixels to a pixel of the source.
FINE = 16
# Stroke widths in pixels of MNIST's 20×20 box: the source's blocks make every stroke too wide.
STROKES = (1.5, 2.2)


def main() -> None:
    """Write the file that the command line names."""
    source = load_digits()
    images = [in_mnist_form(image / LEVELS).ravel().tolist() for image in source.images]
    labels = [int(label) for label in source.target]
    splits, start = [], 0
    for count in SPLITS:
        splits.append([images[start : start + count], labels[start : start + count]])
        start += count
    text = json.dumps(splits, separators=(",", ":")).encode()
    with atomic_write(sys.argv[1]) as file:
        file.write(gzip.compress(text, 9, mtime=0))


def in_mnist_form(counts: np.ndarray) -> np.ndarray:
    """Shares of ink 0–1 ``[8, 8]`` → uint8 ``[28, 28]``, drawn as MNIST draws."""
    fine = sharp(np.pad(counts, 1).astype(np.float32))
    contour = fine + 0.5 * (fine - cv2.GaussianBlur(fine, (0, 0), FINE)) > 0.45
    rows, columns = np.flatnonzero(contour.any(1)), np.flatnonzero(contour.any(0))
    digit = contour[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = normalize.with_stroke(digit, *STROKES)
    pixel = max(digit.shape) / normalize.BOX
    return normalize.place(cv2.GaussianBlur(shape, (0, 0), 0.3 * pixel))


def sharp(counts: np.ndarray) -> np.ndarray:
    """A picture 16 times as fine whose black-and-white version has the given block means.

    Iterative back-projection (Irani and Peleg, "Improving resolution by image registration",
    1991): what the block means of the guess lack is added to the guess.
    """
    guess = cv2.resize(counts, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        inked = 1 / (1 + np.exp(-10 * (guess - 0.5)))
        missing = counts - cv2.resize(inked, counts.shape, interpolation=cv2.INTER_AREA)
        guess = guess + cv2.resize(missing, guess.shape, interpolation=cv2.INTER_LINEAR)
    return guess


if __name__ == "__main__":
    main()
