"""The digits on any picture, found by a small trained network.

A fully convolutional network (U-Net: Ronneberger et al. 2015) says for every pixel how likely it
is ink of a digit, where that digit's middle lies and how large it is. Pixels vote for middles
(as in Panoptic-DeepLab, Cheng et al. 2020), so strokes that are broken come together and digits
that touch come apart; each digit's ink is then put into MNIST's form. The picture is looked at
with its longer side 160 pixels, and larger ones again with more where digits are small.

The network is trained by ``tools/finder/train.py`` on scenes drawn by a program.
"""

import math
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

import cv2
import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array, Arrays
from mnist.fluid import places
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution
from mnist.pictures import weights
from mnist.pictures.normalize import FoundDigit, Grey, form_of

Layers = Callable[[int, int], Any]

WIDTHS = (16, 32, 48, 64, 48)
# The longer sides at which a picture is looked at, the smallest first.
SIDES = (160, 288, 576)
# The network halves four times, and its own input is folded by two.
MULTIPLE = 32
# Offsets to a digit's middle are told in these pixels, a digit's size in octaves of these.
OFFSET_UNIT = 32.0
SIZE_UNIT = 32.0
# Maps of the output: four of ink (a pixel each of 2×2) and other marks; and three of votes.
MAPS, VOTES = 5, 3
INK = slice(0, 4)
# A vote is for so many by so many pixels.
VOTE_CELL = 4
LEAST_SIDE = 8
# Connected ink of fewer pixels is none, and what has more pieces is no page of digits.
LEAST_AREA, MOST_PARTS = 6, 2000
# Votes for one middle lie this near it, in the digit's sides, if they are to be believed.
WIDEST_SPREAD = 0.17
# Where votes meet a digit's middle is seen if they are so dense there against the densest; votes
# are counted as far away as so many tenths of a side.
LEAST_SHARE, FAR = 0.2, 60
MOST_DIGITS = 500


class Network(fluid.dygraph.Layer):
    """float32 ``[B, 16, H, W]`` (see ``as_input``) → two float32 maps.

    Logits of ink and of other marks ``[B, 5, H, W]``; votes ``[B, 3, H/2, W/2]`` (see ``Maps``).

    ``block(channels, filters)`` makes a 3×3 convolution with its activation, ``plain`` one of
    1×1 without; the training has others than these.
    """

    def __init__(self, block: Optional[Layers] = None, plain: Optional[Layers] = None) -> None:
        super().__init__()
        seeds = seeding.layer_seeds(0)
        block = block or (lambda i, o: Convolution(i, o, 3, seeds, padding=1, activation="relu"))
        plain = plain or (lambda i, o: Convolution(i, o, 1, seeds))
        layers = fluid.dygraph.LayerList
        a, b, c, d, e = WIDTHS
        pairs = ((16, a), (a, b), (b, c), (c, d), (d, e))
        self.down = layers([layers([block(i, o), block(o, o)]) for i, o in pairs])
        # 1×1 convolutions to four times the maps, each of them a pixel of 2×2.
        self.widen = layers([plain(i, 4 * o) for i, o in ((e, d), (d, c), (c, b), (b, a))])
        self.up = layers([block(o, o) for o in (d, c, b, a)])
        self.head = plain(a, MAPS)
        self.voting = plain(b, VOTES)

    def forward(self, values: Any) -> Any:
        kept: List[Any] = []
        for level in self.down:
            if kept:
                values = fluid.layers.pool2d(values, 2, "max", 2)
            for layer in level:
                values = layer(values)
            kept.append(values)
        kept.pop()
        levels = []
        for widen, layer in zip(self.widen, self.up):
            larger = fluid.layers.pixel_shuffle(widen(values), 2)
            values = layer(fluid.layers.relu(larger + kept.pop()))
            levels.append(values)
        return self.head(values), self.voting(levels[-2])


def resized(picture: Grey, longest: int) -> Grey:
    """RGB ``[H, W, 3]`` with its longer side so many pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method))


def as_input(picture: Array) -> Array:
    """uint8 RGB ``[H, W, 3]`` → float32 ``[16, H/2, W/2]``, the sides made multiples of 32.

    Red, green, blue, and the brightness against that of the surroundings in units of how much
    it varies there, each as four maps, one for every pixel of 2×2.
    """
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(
        picture, 0, -height % MULTIPLE, 0, -width % MULTIPLE, cv2.BORDER_REPLICATE
    )
    grey = cv2.cvtColor(padded, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (31, 31))
    spread = np.sqrt(np.maximum(cv2.blur(grey * grey, (31, 31)) - mean * mean, 0))
    local = np.clip((grey - mean) / (spread + 3), -4, 4)
    maps = np.concatenate([padded.astype(np.float32) / 64 - 2, local[..., None]], -1)
    return folded(maps.transpose(2, 0, 1))


def folded(maps: Array) -> Array:
    """``[C, H, W]`` → ``[4 C, H/2, W/2]``: of every 2×2 pixels a map each."""
    count, height, width = maps.shape
    parts = maps.reshape(count, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(parts.reshape(4 * count, height // 2, width // 2))


class Maps(NamedTuple):
    """What the network says of a picture: ``ink`` float32 ``[H, W]`` in 0–1.

    ``votes`` float32 ``[3, H/4, W/4]``: how far the middle of the digit that a pixel is of lies
    from it, x and y, in OFFSET_UNIT pixels, and its longer side, in octaves of SIZE_UNIT pixels.
    """

    ink: Array
    votes: Array


class Finder:
    """The network with its weights."""

    def __init__(self, arrays: Arrays) -> None:
        self._network = weights.in_use(Network, arrays)

    def looks(self, picture: Grey) -> Iterator[List[FoundDigit]]:
        """What may be digits on a picture, uint8 ``[H, W, 3]`` or ``[H, W]``, in no order.

        Again and again, each time looking at the picture larger, as long as more is asked for.
        """
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        longest = max(picture.shape[:2])
        # Made small once; what is smaller is made of that.
        picture = resized(picture, min(longest, SIDES[-1]))
        for side in SIDES:
            if side == SIDES[0] or side < 1.5 * longest:
                maps = self.look(resized(picture, side))
                ink = np.pad(maps.ink, 1)
                yield [_found(ink, part).on_larger(longest / side) for part in parts_of(maps)]

    def look(self, picture: Grey) -> Maps:
        """What the network says of a picture, uint8 RGB ``[H, W, 3]``, at its own size."""
        height, width = picture.shape[:2]
        with places.inference():
            ink, votes = self._network(to_variable(as_input(picture)[None]))
            # The inverse of ``folded``.
            logits = fluid.layers.pixel_shuffle(ink[:, INK], 2).numpy()[0, 0, :height, :width]
            return Maps(1 / (1 + np.exp(-np.clip(logits, -30, 30))), votes.numpy()[0])


@dataclass
class Part:
    """Ink of one digit: its pixels, int ``[N, 2]`` (row, column), and what each of them votes for.

    ``votes``, float ``[N, 3]``: the digit's middle, x and y, and its longer side, in pixels.
    """

    pixels: Array
    votes: Array

    def __post_init__(self) -> None:
        # Of Python's own numbers, since every part is compared with many.
        *self.middle, self.side = np.median(self.votes, 0).tolist()
        self.first, self.last = self.pixels.min(0).tolist(), self.pixels.max(0).tolist()
        self.extent = 1 + max(last - first for first, last in zip(self.first, self.last))

    def joined(self, other: "Part") -> "Part":
        pixels = np.concatenate([self.pixels, other.pixels])
        return Part(pixels, np.concatenate([self.votes, other.votes]))

    def belongs_to(self, other: "Part") -> bool:
        """Whether both see the same middle, and would make a digit of about the size they see."""
        side = max(self.side, other.side)
        if math.dist(self.middle, other.middle) > 0.35 * side:
            return False
        ends = zip(self.first, other.first, self.last, other.last)
        return all(max(c, d) - min(a, b) < 1.5 * side for a, b, c, d in ends)


def parts_of(maps: Maps) -> List[Part]:
    """The ink, put to the digits whose middles it votes for."""
    _, labels = cv2.connectedComponents((maps.ink > 0.5).astype(np.uint8), connectivity=8)
    pixels = np.argwhere(labels)
    owners = labels[labels > 0]
    order = np.argsort(owners, kind="stable")
    blots = np.split(pixels[order], np.flatnonzero(np.diff(owners[order])) + 1)
    blots = sorted((blot for blot in blots if len(blot) >= LEAST_AREA), key=len)[-MOST_PARTS:]
    parts = [part for blot in blots for part in _split(Part(blot, _votes(maps.votes, blot)))]
    whole: List[Part] = []
    for part in sorted(parts, key=lambda part: -len(part.pixels)):
        near = [i for i, other in enumerate(whole) if part.belongs_to(other)]
        if near:
            nearest = min(near, key=lambda i: math.dist(part.middle, whole[i].middle))
            whole[nearest] = whole[nearest].joined(part)
        else:
            whole.append(part)
    # A scrap of what would be far larger is no digit.
    return [p for p in whole if p.extent >= max(LEAST_SIDE, 0.45 * p.side)][:MOST_DIGITS]


def _votes(votes: Array, pixels: Array) -> Array:
    x, y, size = votes[:, pixels[:, 0] // VOTE_CELL, pixels[:, 1] // VOTE_CELL]
    # A vote tells the way from the middle of its pixels.
    rows, columns = (pixels // VOTE_CELL * VOTE_CELL + (VOTE_CELL - 1) / 2).T
    sides = SIZE_UNIT * np.exp2(np.clip(size, -3, 5))
    return np.stack([columns + OFFSET_UNIT * x, rows + OFFSET_UNIT * y, sides], 1)


def _split(part: Part) -> List[Part]:
    """Connected ink as one part, or as several if its votes fall well apart."""
    peaks = _peaks(part)
    if len(peaks) < 2:
        return [part]
    distance = np.linalg.norm(part.votes[:, None, :2] - peaks, axis=2)
    owner = distance.argmin(1)
    spread = float(np.median(distance.min(1) / part.votes[:, 2]))
    if spread > WIDEST_SPREAD or np.bincount(owner, minlength=len(peaks)).min() < LEAST_AREA:
        return [part]
    return [Part(part.pixels[owner == n], part.votes[owner == n]) for n in range(len(peaks))]


def _peaks(part: Part) -> Array:
    """Where the votes of connected ink meet: float ``[N, 2]``, far apart, each with its share."""
    # Counted on a grid of tenths of the side; what is voted for far away is put at its edge.
    at = np.rint((part.votes[:, :2] - part.middle) / (0.1 * part.side))
    at = np.clip(at, -FAR, FAR).astype(int) + FAR
    grid = np.zeros((2 * FAR + 1, 2 * FAR + 1), np.float32)
    np.add.at(grid, tuple(at.T), 1)
    density = cv2.GaussianBlur(grid, (0, 0), 1.2)
    tops = density == cv2.dilate(density, np.ones((7, 7), np.uint8))
    peaks = np.argwhere(tops & (density > LEAST_SHARE * density.max()))
    return np.asarray(part.middle + (peaks - FAR) * 0.1 * part.side)


def _found(ink: Array, part: Part) -> FoundDigit:
    """A part as a digit; ``ink`` has a rim of a pixel."""
    (top, left), (bottom, right) = part.first, part.last
    height, width = bottom - top + 1, right - left + 1
    # The rim is the digit's, too: below one half, but it says where the edge lies.
    mine = np.zeros((height + 2, width + 2), np.uint8)
    mine[tuple((part.pixels - (top - 1, left - 1)).T)] = 1
    own = ink[top : top + height + 2, left : left + width + 2]
    form = form_of(own * cv2.dilate(mine, np.ones((3, 3), np.uint8)))
    score = float(own[mine > 0].mean())
    return FoundDigit((left, top, width, height), form, max(width, height), score)
