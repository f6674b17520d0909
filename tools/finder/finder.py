"""The digits on any picture, found by a small trained network.

A fully convolutional network (U-Net: Ronneberger et al. 2015) says for every pixel how likely it
is ink of a digit, where that digit's middle lies and how large it is. Pixels vote for middles
(as in Panoptic-DeepLab, Cheng et al. 2020), so strokes that are broken come together and digits
that touch come apart; each digit's ink is then put into MNIST's form. The picture is looked at
with its longer side 160 pixels, and larger ones again with more where digits are small.

The network is trained by ``tools/finder/train.py`` on scenes drawn by a program.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist.base import seeding
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution
from mnist.pictures.normalize import place, with_stroke

Array = NDArray[Any]
Box = Tuple[int, int, int, int]
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
MOST_TOUCHING = 8
MOST_DIGITS = 500
MIN_STROKE, MAX_STROKE = 2.0, 3.4


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
        self.down = layers(
            [
                layers([block(16, a), block(a, a)]),
                layers([block(a, b), block(b, b)]),
                layers([block(b, c), block(c, c)]),
                layers([block(c, d), block(d, d)]),
                layers([block(d, e), block(e, e)]),
            ]
        )
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


def resized(picture: Array, longest: int) -> Array:
    """RGB ``[H, W, 3]`` with its longer side so many pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == (width, height):
        return picture
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small: Array = cv2.resize(picture, size, interpolation=method)
    return small


def fewer(picture: Array, times: int) -> Array:
    """A picture so many times smaller; a rest at its edges is left out, which is far quicker."""
    if times == 1:
        return picture
    height, width = (side // times for side in picture.shape[:2])
    whole = picture[: height * times, : width * times]
    small: Array = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return small


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


def unfolded(maps: Array) -> Array:
    """``[4, H, W]`` → ``[2 H, 2 W]``, the inverse of ``folded``."""
    _, height, width = maps.shape
    return maps.reshape(2, 2, height, width).transpose(2, 0, 3, 1).reshape(2 * height, 2 * width)


# --- from maps to digits -----------------------------------------------------------------------


class Maps(NamedTuple):
    """What the network says of a picture: ``ink`` float32 ``[H, W]`` in 0–1.

    ``votes`` float32 ``[3, H/4, W/4]``: how far the middle of the digit that a pixel is of lies
    from it, x and y, in OFFSET_UNIT pixels, and its longer side, in octaves of SIZE_UNIT pixels.
    """

    ink: Array
    votes: Array


@dataclass(frozen=True)
class FoundDigit:
    """A digit on a picture: left, top, width and height in the picture's pixels.

    ``image`` is the digit in MNIST's form, uint8 ``[28, 28]``; ``score`` how sure the network is
    of the ink, 0–1; ``side`` its longer side in pixels as it was looked at.
    """

    box: Box
    image: Array
    score: float
    side: int


@dataclass
class _Piece:
    """The pixels of one digit on a picture of some size."""

    ink: Array
    left: int
    top: int
    score: float

    @property
    def side(self) -> int:
        return max(self.ink.shape)


def in_use(network: Callable[[], Any], weights: Dict[str, Array]) -> Any:
    """A network with its weights, in evaluation mode, on the CPU."""
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        made = network()
        made.set_dict({name: values.astype(np.float32) for name, values in weights.items()})
        made.eval()
    return made


class Finder:
    """The network with its weights, in evaluation mode, on the CPU."""

    def __init__(self, weights: Dict[str, Array]) -> None:
        self._place = fluid.CPUPlace()
        self._network = in_use(Network, weights)

    def looks(self, picture: Array) -> Iterator[List[FoundDigit]]:
        """What may be digits on a picture, uint8 ``[H, W, 3]`` or ``[H, W]``, in no order.

        Again and again, each time looking at the picture larger, as long as more is asked for.
        """
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        times = max(1, min(*picture.shape[:2], max(picture.shape[:2]) // SIDES[-1]))
        larger = fewer(picture, times)
        longest = max(larger.shape[:2])
        for side in SIDES:
            if side == SIDES[0] or side < 1.5 * longest:
                pieces = pieces_of(self.look(resized(larger, side)))
                yield [_found(piece, side / longest / times) for piece in pieces]

    def look(self, picture: Array) -> Maps:
        """What the network says of a picture, uint8 RGB ``[H, W, 3]``, at its own size."""
        height, width = picture.shape[:2]
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            ink, votes = self._network(to_variable(as_input(picture)[None]))
        logits = unfolded(ink.numpy()[0, INK])[:height, :width]
        return Maps(1 / (1 + np.exp(-np.clip(logits, -30, 30))), votes.numpy()[0])


def pieces_of(maps: Maps) -> List[_Piece]:
    """The ink, put to the digits whose middles it votes for."""
    mask = (maps.ink > 0.5).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    parts: List[_Part] = []
    for number in np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:MOST_PARTS] + 1:
        left, top, width, height, area = stats[number]
        if area >= LEAST_AREA:
            here = labels[top : top + height, left : left + width] == number
            rows, columns = np.nonzero(here)
            parts += _split(_part(maps.votes, rows + top, columns + left))
    groups: List[_Part] = []
    for part in sorted(parts, key=lambda part: -len(part.rows)):
        near = [i for i, group in enumerate(groups) if _belongs(part, group)]
        if near:
            nearest = min(near, key=lambda i: float(np.linalg.norm(groups[i].middle - part.middle)))
            groups[nearest] = groups[nearest].joined(part)
        else:
            groups.append(part)
    # A scrap of what would be far larger is no digit.
    whole = [g for g in groups if g.extent >= max(LEAST_SIDE, 0.45 * g.side)]
    return [_piece(maps.ink, group.rows, group.columns) for group in whole[:MOST_DIGITS]]


@dataclass
class _Part:
    """Ink of one digit: its pixels, and where each of them sees the digit's middle.

    ``middle`` is where most of them see it, ``side`` how large they take the digit to be.
    """

    rows: Array
    columns: Array
    votes: Array
    sides: Array

    def __post_init__(self) -> None:
        self.middle: Array = np.median(self.votes, 0)
        self.side = float(np.median(self.sides))
        self.extent = int(max(np.ptp(self.rows), np.ptp(self.columns))) + 1

    def taken(self, which: Array) -> "_Part":
        return _Part(self.rows[which], self.columns[which], self.votes[which], self.sides[which])

    def joined(self, other: "_Part") -> "_Part":
        pairs = (
            (self.rows, other.rows),
            (self.columns, other.columns),
            (self.votes, other.votes),
            (self.sides, other.sides),
        )
        return _Part(*(np.concatenate(pair) for pair in pairs))


def _part(votes: Array, rows: Array, columns: Array) -> _Part:
    told = votes[:, rows // VOTE_CELL, columns // VOTE_CELL]
    # A vote tells the way from the middle of its pixels.
    cells = np.stack([columns, rows], 1) // VOTE_CELL * VOTE_CELL + (VOTE_CELL - 1) / 2
    sides = SIZE_UNIT * np.exp2(np.clip(told[2], -3, 5))
    return _Part(rows, columns, cells + OFFSET_UNIT * told[:2].T, sides)


def _split(part: _Part) -> List[_Part]:
    """Connected ink as one part, or as several if its votes fall well apart."""
    peaks = _peaks(part)
    if len(peaks) < 2:
        return [part]
    distance = np.linalg.norm(part.votes[:, None] - peaks[None], axis=2)
    owner = distance.argmin(1)
    spread = float(np.median(distance.min(1) / part.sides))
    pieces = [part.taken(owner == number) for number in range(len(peaks))]
    if spread > WIDEST_SPREAD or min(len(piece.rows) for piece in pieces) < LEAST_AREA:
        return [part]
    return pieces


def _peaks(part: _Part) -> Array:
    """Where the votes of connected ink meet: float ``[N, 2]``, far apart, each with its share."""
    left = np.ones(len(part.votes), bool)
    peaks: List[Array] = []
    while left.sum() > 0.15 * len(left) / (len(peaks) + 1) and len(peaks) < MOST_TOUCHING:
        peak = _densest(part.votes[left], 0.1 * part.side)
        near = left
        for _ in range(3):
            near = left & (np.linalg.norm(part.votes - peak, axis=1) < 0.3 * part.sides)
            if near.any():
                peak = part.votes[near].mean(0)
        if not near.any():
            break
        apart = [np.linalg.norm(peak - other) for other in peaks]
        large = near.sum() > 0.15 * len(left) / (len(peaks) + 1)
        if large and min(apart, default=np.inf) > 0.4 * part.side:
            peaks.append(peak)
        left &= ~near
    return np.array(peaks)


def _densest(votes: Array, cell: float) -> Array:
    """The mean of the votes in the fullest square of a grid."""
    codes = np.rint(votes / cell).astype(int) @ (1, 10_000)
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    mean: Array = votes[inverse == counts.argmax()].mean(0)
    return mean


def _belongs(part: _Part, group: _Part) -> bool:
    """Whether two parts see the same middle, and would make a digit of about the size they see."""
    side = max(part.side, group.side)
    if np.linalg.norm(part.middle - group.middle) > 0.35 * side:
        return False
    height, width = (
        max(a.max(), b.max()) - min(a.min(), b.min())
        for a, b in ((part.rows, group.rows), (part.columns, group.columns))
    )
    return bool(max(height, width) < 1.5 * side)


def _piece(ink: Array, rows: Array, columns: Array) -> _Piece:
    top, left = rows.min(), columns.min()
    # The rim is the digit's, too: below one half, but it says where the edge lies.
    mine = np.zeros((np.ptp(rows) + 3, np.ptp(columns) + 3), np.uint8)
    mine[rows - top + 1, columns - left + 1] = 1
    mine = cv2.dilate(mine, np.ones((3, 3), np.uint8))
    whole = np.pad(ink, 1)[top : top + mine.shape[0], left : left + mine.shape[1]]
    score = float(ink[rows, columns].mean())
    return _Piece(whole * mine, int(left), int(top), score)


def _found(piece: _Piece, factor: float) -> FoundDigit:
    rows, columns = piece.ink.shape
    # A piece has a rim of a pixel.
    left, top, width, height = (
        round(side / factor) for side in (piece.left, piece.top, columns - 2, rows - 2)
    )
    return FoundDigit((left, top, width, height), form_of(piece.ink), piece.score, piece.side - 2)


def form_of(ink: Array) -> Array:
    """A digit's ink, float32 ``[H, W]`` in 0–1, in MNIST's form: uint8 ``[28, 28]``."""
    factor = 96 / max(ink.shape)
    size = (max(3, round(ink.shape[1] * factor)), max(3, round(ink.shape[0] * factor)))
    large = cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)
    mask = large > min(0.5, 0.5 * float(large.max()))
    image: Array = place(with_stroke(mask, MIN_STROKE, MAX_STROKE))
    return image
