"""The readers of the project, and how their inputs are garbled or made up.

Each reader has genuine inputs, which ``mutated`` garbles as a bad disk or a bad person would,
and a Hypothesis strategy for inputs of the right make with the wrong things in them. ``read``
reads an input and checks what comes of it against an independent way to know it.
"""

import gzip
import io
import json
import math
import pickle
import random
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, Dict, List, Type

import cv2
import numpy as np
import yaml
from helpers import ROOT, same
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mnist import config
from mnist.base import files
from mnist.base.errors import MnistError
from mnist.checkpoints import reading, records
from mnist.data import course_json, idx
from mnist.pictures import decode
from mnist.pictures.reading import read_digit

from .material import idx_bytes, require, small_splits

EDGES = [0, 1, 9, 10, 27, 28, 127, 128, 255, 256, 784, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
"""Whatever JSON or YAML can hold."""


class Reader:
    """A reader under test; ``place`` is a folder to put its inputs into."""

    title = ""
    # The most memory that the whole process may ever take, in bytes.
    peak = 1 << 30

    def __init__(self, folder: Path, place: Path) -> None:
        self.place = place

    def mutated(self, rng: random.Random) -> Any:
        raise NotImplementedError

    def made_up(self) -> st.SearchStrategy:
        raise NotImplementedError

    def read(self, given: Any) -> None:
        """Returns if the input was read rightly, raises MnistError if it was refused."""
        raise NotImplementedError


def garble(rng: random.Random, content: bytes, words=(b"",)) -> bytes:
    """A few random changes; ``words`` are texts that mean something in the format."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(content) + 1)
        length = rng.choice([1, 2, 4, 8, rng.randrange(1, 200)])
        new = rng.choice(
            [
                bytes(rng.randrange(256) for _ in range(rng.choice([1, 1, 2, 4, 16]))),
                struct.pack(rng.choice("<>") + "I", rng.choice(EDGES)),
                rng.choice([b"\0", b"\xff", b"\x80"]) * length,
                bytes(content[at : at + length]),
                rng.choice(words),
                b"",
            ]
        )
        kind = rng.randrange(8)
        if kind == 0:
            del content[at:]
        elif kind < 3:
            content[at:at] = new
        elif kind < 5:
            content[at : at + length] = new
        elif kind < 7:
            content[at : at + len(new)] = new
        elif at < len(content):
            content[at] ^= 1 << rng.randrange(8)
    return bytes(content)


# --- mnist.json.gz ---------------------------------------------------------------------


class CourseJson(Reader):
    title = "`mnist.json.gz` reader"
    words = (
        b"NaN",
        b"-1",
        b"1e999",
        b"256",
        b"0.5",
        b"[",
        b"]",
        b",",
        b"{}",
        b'"1"',
        b"null",
        b"[]",
    )

    def __init__(self, folder: Path, place: Path) -> None:
        super().__init__(folder, place)
        self.texts = []
        self.path = place / "mnist.json.gz"
        for pixels in ("floats", "integers"):
            course_json.write(self.path, small_splits(2, 1, 1), pixels)
            self.texts.append(gzip.decompress(self.path.read_bytes()))

    def mutated(self, rng: random.Random) -> bytes:
        text = rng.choice(self.texts)
        if rng.random() < 0.3:
            return garble(rng, gzip.compress(text, 1, mtime=0))
        return gzip.compress(garble(rng, text, self.words), 1, mtime=0)

    def made_up(self) -> st.SearchStrategy:
        pixel = st.sampled_from([0, 1, 0.5, 128, 255, 256, -1, 1 / 255, 3 / 256, 1e-9, "1", None])
        size = st.sampled_from([784, 784, 784, 0, 783, 785])
        image = st.builds(
            lambda common, odd, n, at: [*[common] * n][:at] + [odd] + [common] * max(n - at - 1, 0),
            st.sampled_from([0, 1, 255, 51 / 255]), pixel, size, st.integers(0, 783),
        )  # fmt: skip
        label = st.sampled_from([0, 3, 9, 9.0, 10, -1, 0.5, True, None, "3", [3]])
        split = st.tuples(st.lists(image, max_size=2), st.lists(label, max_size=3)).map(list)
        document = st.lists(split | JUNK, max_size=4) | st.tuples(split, split, split).map(list)
        return st.builds(
            lambda value, spaces: gzip.compress(json.dumps(value, indent=spaces).encode(), 1),
            document | JUNK, st.sampled_from([None, 0, 3]),
        )  # fmt: skip

    def read(self, given: bytes) -> None:
        self.path.write_bytes(given)
        found = course_json.read(self.path, block_size=1 << (len(given) % 15 + 4))
        expected = json.loads(gzip.decompress(given))
        require(len(expected) == 3, "not three splits")
        for (pixels, labels), (numbers, classes) in zip(found.splits, expected):
            require(labels.tolist() == classes, "other labels")
            require(len(pixels) == len(labels) == len(numbers), "another number of images")
            flat, given_flat = pixels.reshape(-1, 784), np.array(numbers, np.float64)
            distance = min(np.abs(given_flat * scale - flat).max() for scale in (1, 255, 256))
            require(distance <= 0.0011 or set(given_flat.flat) <= {0, 1}, "other pixels")


# --- IDX -------------------------------------------------------------------------------


class Idx(Reader):
    title = "IDX reader"

    def __init__(self, folder: Path, place: Path) -> None:
        super().__init__(folder, place)
        (pixels, labels), _, _ = small_splits(3, 1, 1)
        raw = [idx_bytes(pixels), idx_bytes(labels)]
        self.files = raw + [gzip.compress(content, mtime=0) for content in raw]
        self.path = place / "file"

    def mutated(self, rng: random.Random) -> bytes:
        content = rng.choice(self.files)
        if content[:2] == b"\x1f\x8b" and rng.random() < 0.5:
            return gzip.compress(garble(rng, gzip.decompress(content)), 1, mtime=0)
        return garble(rng, content)

    def made_up(self) -> st.SearchStrategy:
        number = st.sampled_from([0, 1, 2, 3, 28, 1_000_000, 1_000_001, 2**31, 2**32 - 1])
        start = st.sampled_from([b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x0d\x03", b"\x1f\x8b"])
        side = st.sampled_from([28, 28, 28, 14, 56, 1, 0])
        sizes = st.lists(number, max_size=4) | st.tuples(number, side, side).map(list)
        body = st.integers(0, 3).map(lambda n: b"\x07" * (784 * n)) | st.binary(max_size=40)

        def build(head, dimensions, values, fitting, zipped):
            if fitting and math.prod(dimensions) < 10_000:
                values = b"\x07" * math.prod(dimensions)
            content = head + struct.pack(f">{len(dimensions)}I", *dimensions) + values
            return gzip.compress(content, 1, mtime=0) if zipped else content

        return st.builds(build, start, sizes, body, st.booleans(), st.booleans())

    def read(self, given: bytes) -> None:
        self.path.write_bytes(given)
        refusals = []
        for reader, item in ((idx.read_images, (28, 28)), (idx.read_labels, ())):
            try:
                found = reader(self.path)[0]
            except MnistError as error:
                refusals.append(error)
                continue
            plain = gzip.decompress(given) if given[:2] == b"\x1f\x8b" else given
            start = 8 + 4 * len(item)
            require(struct.unpack(">I", plain[4:8]) == (len(found),), "another number")
            require(found.shape[1:] == item, "another shape")
            require(found.astype(np.uint8).tobytes() == plain[start:], "other values")
        if len(refusals) == 2:
            raise refusals[0]


# --- checkpoints -----------------------------------------------------------------------


class CheckpointFolder(Reader):
    title = "checkpoint reader (folders, course pairs, their pickles)"
    files = (records.PARAMETERS, records.OPTIMIZER, records.STATE, records.MANIFEST)

    def __init__(self, folder: Path, place: Path) -> None:
        super().__init__(folder, place)
        whole = folder / "checkpoints" / "epoch3"
        self.genuine = reading.load(whole)
        self.contents = {name: (whole / name).read_bytes() for name in self.files}
        self.path = place / "epoch3"
        shutil.copytree(whole, self.path)

    def mutated(self, rng: random.Random) -> Dict[str, Any]:
        name = rng.choice(self.files)
        words = (b"null", b"-1", b'"x"', b"[]", b"cos\nsystem\n", b"(", b"R", b"0.", b"\x8c\x01a")
        return {"name": name, "content": garble(rng, self.contents[name], words),
                "vouched": rng.random() < 0.8, "pair": rng.random() < 0.3}  # fmt: skip

    def made_up(self) -> st.SearchStrategy:
        state = json.loads(self.contents[records.STATE])
        manifest = json.loads(self.contents[records.MANIFEST])
        paths = st.sampled_from(
            [*self.files, "../x", "/etc/passwd", "", ".", "a/b", "\0", "x" * 300]
        )
        pickles = st.dictionaries(
            st.sampled_from(list(self.genuine.parameters)) | st.text(max_size=5),
            hnp.arrays(
                st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.complex64]),
                hnp.array_shapes(max_dims=4, max_side=4),
            ) | JUNK,
            max_size=5,
        )  # fmt: skip
        contents = st.one_of(
            _changed(state).map(lambda v: (records.STATE, json.dumps(v).encode())),
            _changed(manifest).map(lambda v: (records.MANIFEST, json.dumps(v).encode())),
            st.dictionaries(paths, st.text(max_size=5) | st.just("0" * 64)).map(
                lambda v: (records.MANIFEST, json.dumps({"format": 1, "files": v}).encode())
            ),
            st.tuples(
                st.sampled_from(self.files[:2]),
                st.builds(pickle.dumps, pickles, st.integers(0, 5)),
            ),
        )
        return st.builds(
            lambda both, vouched, pair: {
                "name": both[0], "content": both[1], "vouched": vouched, "pair": pair
            },
            contents, st.booleans(), st.booleans(),
        )  # fmt: skip

    def read(self, given: Dict[str, Any]) -> None:
        name, content = given["name"], given["content"]
        (self.path / name).write_bytes(content)
        try:
            if given["vouched"] and name != records.MANIFEST:
                self._vouch(name)
            loaded = reading.load(self.path / "model" if given["pair"] else self.path)
        finally:
            for original in {name, records.MANIFEST}:
                (self.path / original).write_bytes(self.contents[original])
        for array in loaded.parameters.values():
            require(array.dtype == np.float32 and np.isfinite(array).all(), "not finite float32")
        if not given["vouched"] and not given["pair"]:
            require(same(loaded.parameters, self.genuine.parameters), "damage went unseen")
            require(loaded.state == self.genuine.state, "a damaged state went unseen")

    def _vouch(self, name: str) -> None:
        manifest = json.loads(self.contents[records.MANIFEST])
        manifest["files"][name] = files.sha256_of(self.path / name)
        (self.path / records.MANIFEST).write_text(json.dumps(manifest))


def _changed(document: Any) -> st.SearchStrategy:
    """A JSON document with one value of it replaced by junk, or removed."""
    places = list(_places(document))

    def change(path, value, remove):
        copy = json.loads(json.dumps(document))
        inner = copy
        for key in path[:-1]:
            inner = inner[key]
        if remove:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return copy

    return st.builds(change, st.sampled_from(places), JUNK, st.booleans())


def _places(value: Any, path=()):
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield (*path, key)
        yield from _places(inner, (*path, key))


# --- configs ---------------------------------------------------------------------------


class ConfigFile(Reader):
    title = "config loader (YAML and `--set`)"
    words = (
        *(b"- ", b": ", b"? ", b"{", b"[", b"&a ", b"*a", b"<<: ", b"\t", b"\n  ", b"~", b"null"),
        *(b"1e-3", b".inf", b".nan", b"0x1F", b"2001-01-01", b"name: fc"),
        b"!!python/object/apply:os.system [x]",
    )

    def __init__(self, folder: Path, place: Path) -> None:
        super().__init__(folder, place)
        self.texts = [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))]
        self.texts.append(config.to_yaml(config.default()).encode())
        self.path = place / "config.yaml"

    def mutated(self, rng: random.Random) -> Any:
        overrides = []
        if rng.random() < 0.3:
            key = rng.choice(list(config.flatten(config.default())))
            value = rng.choice(["1", "x", "[1]", "", "null", "1e-3", "{a: 1}", "fc", "sgd"])
            overrides = [garble(rng, f"{key}={value}".encode()).decode("latin1")]
        return garble(rng, rng.choice(self.texts), self.words), overrides

    def made_up(self) -> st.SearchStrategy:
        flat = config.flatten(config.default())
        value = (
            JUNK
            | st.sampled_from([v for values in config.CHOICES.values() for v in values])
            | st.sampled_from([0, 1, -1, 2**31, 2**63, 1e-9, 1e308, math.inf, math.nan, 0.5])
            | st.sampled_from(list(flat.values()))
        )
        override = st.builds(lambda key, v: (key, v), st.sampled_from(list(flat)), value)

        def build(pairs, junk, settings):
            document: Dict[str, Any] = {}
            for key, inner in pairs:
                *sections, last = key.split(".")
                section = document
                for name in sections:
                    section = section.setdefault(name, {})
                    if not isinstance(section, dict):
                        break
                else:
                    section[last] = inner
            if junk is not None:
                document.update(junk)
            text = yaml.safe_dump(document, allow_unicode=True)
            return text.encode("utf-8", "surrogatepass"), [f"{k}={v}" for k, v in settings]

        junk = st.none() | st.dictionaries(st.text(max_size=8), JUNK, max_size=2)
        return st.builds(
            build, st.lists(override, max_size=5), junk, st.lists(override, max_size=2)
        )

    def read(self, given: Any) -> None:
        text, overrides = given
        self.path.write_bytes(text)
        found = config.load(self.path, overrides)
        self.path.write_text(config.to_yaml(found), encoding="utf-8")
        require(config.load(self.path) == found, "written out, it reads as another config")


# --- pictures --------------------------------------------------------------------------


class Pictures(Reader):
    title = "image loader (7 formats) and its way to 28×28"
    # 50 million pixels, the limit, in colours and with transparency.
    peak = 5 << 29

    def __init__(self, folder: Path, place: Path) -> None:
        super().__init__(folder, place)
        self.files = list(genuine_pictures())
        self.path = place / "picture"

    def mutated(self, rng: random.Random) -> bytes:
        content = rng.choice(self.files)
        if rng.random() < 0.3:  # The headers, where sizes and kinds stand.
            return garble(rng, content[:64]) + content[64:]
        return garble(rng, content)

    def made_up(self) -> st.SearchStrategy:
        side = st.sampled_from([0, 1, 2, 27, 28, 29, 300, 7072, 65_535, 10**6, 2**31 - 1])
        body = st.integers(0, 2000).map(lambda n: b"\x33" * n) | st.binary(max_size=200)
        png = st.builds(
            _png, side, side, st.sampled_from([0, 1, 2, 4, 8, 16, 3]),
            st.sampled_from([0, 2, 3, 4, 6, 1]), st.integers(0, 2), body, st.booleans(),
        )  # fmt: skip
        bmp = st.builds(_bmp, side, side, st.sampled_from([1, 4, 8, 16, 24, 32, 7]), body)
        ppm = st.builds(
            lambda kind, a, b, top, rest: b"P%d %d %d %d\n" % (kind, a, b, top) + rest,
            st.integers(1, 7), side, side, st.sampled_from([0, 1, 255, 256, 65_535, 10**9]), body,
        )  # fmt: skip
        webp = st.builds(_webp, st.sampled_from([b"VP8 ", b"VP8L", b"VP8X", b"ALPH"]), body)
        start = st.sampled_from([content[:n] for content in self.files for n in (4, 12, 40)])
        return png | bmp | ppm | webp | st.builds(lambda a, b: a + b, start, body)

    def read(self, given: bytes) -> None:
        self.path.write_bytes(given)
        pixels = decode.load_pixels(given).values
        require(pixels.dtype == np.uint8 and pixels.ndim in (2, 3) and pixels.size > 0, "no pixels")
        digit = read_digit(self.path)
        require(digit.dtype == np.uint8 and digit.shape == (28, 28), "not MNIST's form")


def genuine_pictures():
    """A digit in every format and kind of pixel that is read."""
    (pixels, _), _, _ = small_splits(1, 1, 1)
    small = Image.fromarray(pixels[0])
    large = Image.fromarray(255 - cv2.resize(pixels[0], (60, 70)))
    transparent = large.convert("RGBA")
    transparent.putalpha(128)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds: List[Any] = [
        (small, "PNG", {}), (large.convert("1"), "PNG", {}), (large.convert("P"), "PNG", {}),
        (transparent, "PNG", {}), (large.convert("I"), "PNG", {}), (large.convert("LA"), "PNG", {}),
        (large, "JPEG", {"exif": turned}), (large.convert("CMYK"), "JPEG", {}),
        (large.convert("RGB"), "JPEG", {"progressive": True}), (large, "GIF", {}),
        (large.convert("RGB"), "BMP", {}), (large.convert("P"), "BMP", {}),
        (large, "PPM", {}), (large.convert("RGB"), "PPM", {}),
        (large, "TIFF", {"compression": "tiff_lzw"}), (large.convert("F"), "TIFF", {}),
        (large.convert("RGB"), "TIFF", {"compression": "jpeg"}),
        (large.convert("1"), "TIFF", {"compression": "group4"}),
        (transparent, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (large, "WEBP", {"quality": 50}), (transparent, "WEBP", {"lossless": True}),
    ]  # fmt: skip
    for picture, name, options in kinds:
        file = io.BytesIO()
        picture.save(file, name, **options)
        yield file.getvalue()


def _png(width, height, depth, colours, interlaced, body, is_fitting) -> bytes:
    """A PNG whose checksums are right, whatever else is not."""
    if is_fitting and width * height < 10**6:
        body = b"\x00" * ((width * 8 + 1) * height)

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _bmp(width, height, bits, body) -> bytes:
    start = struct.pack("<2sIHHI", b"BM", 54 + len(body), 0, 0, 54)
    return start + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0) + body


def _webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


READERS: Dict[str, Type[Reader]] = {
    "json": CourseJson,
    "idx": Idx,
    "checkpoint": CheckpointFolder,
    "config": ConfigFile,
    "images": Pictures,
}
