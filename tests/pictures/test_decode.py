"""Files of pictures: decoded upright, on paper, within bounds; or refused in one line."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import pytest
from helpers import DIGITS, ROOT, environment
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist.base.errors import InputError
from mnist.data import course_json
from mnist.pictures import decode

SAMPLES = ROOT / "data" / "samples"


def encoded(picture, kind="PNG", **options):
    """A Pillow image or an array as a file's bytes."""
    file = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(file, kind, **options)
    return file.getvalue()


def seven(size=120, pen=10):
    """A dark seven on white paper: uint8 [size, size]."""
    picture = np.full((size, size), 255, np.uint8)
    points = np.array([[0.25, 0.2], [0.72, 0.2], [0.45, 0.8]]) * size
    cv2.polylines(picture, [np.rint(points).astype(int)], False, 0, pen, cv2.LINE_AA)
    return picture


def alike(left, right):
    """How well two pictures of one size agree: 1 where they are the same, −1 if inverted."""
    return float(np.corrcoef(grey(left).ravel(), grey(right).ravel())[0, 1])


def grey(values):
    return values if values.ndim == 2 else values.mean(2)


def decoded(data):
    return decode.load_pixels(data).values


@pytest.fixture(scope="module")
def bundled():
    return course_json.read(DIGITS).splits


# --- the bundled file ---


def test_the_bundled_file(bundled):
    assert [split_images.shape for split_images, _ in bundled] == [
        (1197, 28, 28),
        (300, 28, 28),
        (300, 28, 28),
    ]
    counts = [np.bincount(labels, minlength=10).tolist() for _, labels in bundled]
    assert counts == [
        [119, 120, 117, 121, 119, 123, 120, 118, 118, 122],
        [32, 31, 32, 31, 29, 29, 30, 31, 28, 27],
        [27, 31, 28, 31, 33, 30, 31, 30, 28, 31],
    ]


def test_the_bundled_file_names_no_time():
    """Its gzip header has no time and no file name, so that the bytes can be made again."""
    with open(DIGITS, "rb") as file:
        magic, method, flags, time = struct.unpack("<HBBI", file.read(8))
    assert (magic, method, flags, time) == (0x8B1F, 8, 0, 0)


# --- samples ---


def test_samples_are_what_their_script_draws(tmp_path):
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_samples.py"), str(tmp_path)],
        check=True,
        timeout=120,
    )
    for picture in [*SAMPLES.glob("*.png"), *SAMPLES.glob("sheets/*.jpg")]:
        drawn = np.asarray(Image.open(tmp_path / picture.relative_to(SAMPLES)), int)
        np.testing.assert_allclose(np.asarray(Image.open(picture), int), drawn, atol=8)


# --- decoding ---


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "I", "F", "I;16"]
)
def test_modes(mode):
    kind = "PNG" if mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16") else "TIFF"
    grey = seven()
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        picture = Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32))
    else:
        picture = Image.fromarray(grey).convert("RGB").convert(mode if mode != "PA" else "P")
        picture = picture.convert(mode)
    assert alike(decoded(encoded(picture, kind)), grey) > 0.95


def test_floats_that_are_not_finite():
    values = seven().astype(np.float32)
    values[0, :3] = [np.nan, np.inf, -np.inf]
    assert decoded(encoded(values, "TIFF")).shape == (120, 120)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PPM", "TIFF", "WEBP"])
def test_formats(kind):
    assert alike(decoded(encoded(Image.fromarray(seven()).convert("RGB"), kind)), seven()) > 0.98


@pytest.mark.parametrize("name, kind", [("bitmap", "PPM"), ("grey", "PPM"), ("photo", "JPEG")])
def test_formats_under_other_names(name, kind):
    picture = Image.fromarray(seven()).convert("1" if name == "bitmap" else "L")
    assert alike(decoded(encoded(picture, kind)), seven()) > 0.95


def test_webp_lossless_and_transparent():
    picture = np.zeros((120, 120, 4), np.uint8)
    picture[..., 3] = 255 - seven()
    assert alike(decoded(encoded(picture, "WEBP", lossless=True)), seven()) > 0.99


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (40, 80, 220), (128, 128, 128)])
def test_ink_on_nothing(ink):
    picture = np.empty((120, 120, 4), np.uint8)
    picture[..., :3], picture[..., 3] = ink, 255 - seven()
    found = grey(decoded(encoded(picture)))
    assert abs(alike(found, seven())) > 0.99 and np.ptp(found) > 100


def test_a_card_with_clear_corners():
    picture = np.dstack([seven(240, 20)] * 3 + [np.zeros((240, 240), np.uint8)])
    picture[..., 3] = cv2.circle(np.zeros((240, 240), np.uint8), (120, 120), 150, 255, -1)
    assert alike(decoded(encoded(picture)), seven(240, 20)) > 0.99


# --- animations and pages ---


def frames_of(kind, *pictures):
    first, *others = (Image.fromarray(picture) for picture in pictures)
    return encoded(first, kind, save_all=True, append_images=others)


BLANK = np.full((120, 120), 255, np.uint8)
HALF = np.where(np.arange(120)[:, None] < 40, seven(), 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize(
    "frames, number", [((BLANK, HALF, seven()), 3), ((HALF, seven(), BLANK), 2)]
)
def test_of_an_animation_the_frame_with_most_ink_is_read_and_said(kind, frames, number, capfd):
    assert alike(decoded(frames_of(kind, *frames)), seven()) > 0.98
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == f"WARNING: picture: has 3 frames or pages; number {number} is read\n"


def test_of_a_document_the_first_page_is_read_and_said(capfd):
    assert alike(decoded(frames_of("TIFF", HALF, seven())), HALF) > 0.98
    assert "2 frames or pages; number 1 is read" in capfd.readouterr().err


def test_a_long_recording_is_looked_at_within_bounds(monkeypatch):
    looked_at = []
    own = decode._contrast_of

    def counted(picture, number):
        looked_at.append(number)
        return own(picture, number)

    monkeypatch.setattr(decode, "_contrast_of", counted)
    pen = [np.where(np.arange(120)[:, None] < n // 2, seven(), 255).astype(np.uint8)
           for n in range(240)]  # fmt: skip
    data = frames_of("GIF", *pen)
    assert alike(decoded(data), seven()) > 0.98
    assert len(looked_at) <= decode.MOST_FRAMES
    looked_at.clear()
    decode.load_pixels(data, 120 * 120 * 10)
    assert max(looked_at) == 39


# --- how the camera was held ---


def held(upright, orientation):
    """A picture as a camera held that way takes it, with the EXIF block that says so."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return upright.transpose(back[orientation]) if orientation in back else upright, exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "TIFF packed", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation, kind):
    upright = Image.fromarray(np.pad(seven(), ((0, 40), (0, 0)), constant_values=255))
    picture, exif = held(upright, orientation)
    options = {"JPEG": {"quality": 95}, "TIFF packed": {"compression": "tiff_lzw"}}.get(kind, {})
    found = decoded(encoded(picture, kind.split()[0], exif=exif, **options))
    assert found.shape[:2] == (160, 120)
    assert alike(found, np.asarray(upright)) > 0.98


def test_broken_exif_is_not_the_picture():
    data = encoded(seven(), "JPEG", exif=b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" * 3)
    assert decoded(data).shape == (120, 120)


# --- large photos ---


@pytest.mark.parametrize(
    "size, reduced", [((1999, 1000), 1), ((4032, 3024), 2), ((8160, 6120), 4), ((12000, 9000), 4)]
)
def test_a_large_jpeg_is_decoded_smaller(size, reduced):
    picture = Image.fromarray(seven(600, 60)).resize(size[::-1], Image.Resampling.NEAREST)
    picture, exif = held(picture, 6)
    pixels = decode.load_pixels(encoded(picture, "JPEG", exif=exif))
    assert pixels.reduced == reduced
    assert pixels.values.shape == tuple(-(-side // reduced) for side in size)
    small = cv2.resize(pixels.values, (600, 600), interpolation=cv2.INTER_AREA)
    assert alike(small, seven(600, 60)) > 0.97


PEAK = """
import resource, sys
from mnist.pictures import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode.load_pixels(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("progressive, most_mib", [(False, 120), (True, 600)])
def test_108_megapixels_take_bounded_memory(tmp_path, progressive, most_mib):
    Image.new("RGB", (12000, 9000), "white").save(
        tmp_path / "large.jpg", progressive=progressive, subsampling=2
    )
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "large.jpg")], env=environment(),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert int(done.stdout) < most_mib * 1024


@pytest.mark.parametrize("limit, side", [(16_000_000, 9000), (1_000_000, 2200)])
def test_a_jpeg_with_still_too_many_pixels_is_refused_by_its_own_limit(limit, side):
    data = encoded(Image.new("L", (side, side)), "JPEG")
    with pytest.raises(decode.TooLarge, match=f"limit is {limit // 1_000_000} million"):
        decode.load_pixels(data, limit)


# --- what is refused ---


def png_claiming(width, height):
    """A PNG whose header claims a size that its few bytes do not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (10_000, 9_000), (8_000, 6_300), (1, 60_000_000)]
)
def test_bombs(size):
    with pytest.raises(InputError, match="too many pixels"):
        decode.load_pixels(png_claiming(*size))


def test_webp_bombs():
    def claiming(width, height):
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        frame = WHOLE["WEBP"][12:]
        body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + sides
        body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
        body += b"ANMF" + struct.pack("<I", 16 + len(frame)) + bytes(6) + b"\x77\0\0" * 2
        body += bytes(4) + frame
        return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body

    assert decoded(claiming(120, 120)).shape[:2] == (120, 120)
    with pytest.raises(InputError, match="too many pixels \\(8000×7000\\)"):
        decode.load_pixels(claiming(8_000, 7_000))
    # Four bytes a pixel, twice: more than libwebp, or the machine, gives.
    with pytest.raises(InputError):
        decode.load_pixels(claiming(65_536, 65_536))


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        decode.load_pixels(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("seven\n" * 10)
    (tmp_path / "half.png").write_bytes(encoded(seven())[:200])
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(decode.MAX_FILE_BYTES + 1)
    refused(tmp_path / "empty.png", "empty")
    refused(tmp_path / "text.png", "not a picture")
    refused(tmp_path / "half.png", "damaged")
    refused(tmp_path / "folder.png", "it is a folder")
    refused(tmp_path / "pipe.png", "not a regular file")
    refused(tmp_path / "huge.png", "too large .more than 67,108,864 bytes")
    refused(tmp_path / "missing.png", "No such file")


@pytest.mark.parametrize(
    "data, named",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"something else", "known are BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"),
    ],
)
def test_what_people_send_that_is_no_picture_is_named(tmp_path, data, named):
    (tmp_path / "x.heic").write_bytes(data)
    refused(tmp_path / "x.heic", f"not a picture that can be read \\(.*{named}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    (tmp_path / "closed.png").write_bytes(encoded(seven()))
    (tmp_path / "closed.png").chmod(0)
    refused(tmp_path / "closed.png", "Permission denied")


def test_a_name_that_cannot_be_one():
    with pytest.raises(InputError, match=r"cannot be read \(embedded null byte\)"):
        decode.load_pixels("a\0b.png")


WHOLE = {
    "PNG": encoded(seven(), "PNG"),
    "RGBA": encoded(np.dstack([seven()] * 4), "PNG"),
    "GIF": encoded(seven(), "GIF"),
    "JPEG": encoded(seven(), "JPEG"),
    "BMP": encoded(seven(), "BMP"),
    "PPM": encoded(seven(), "PPM"),
    "TIFF": encoded(seven(), "TIFF"),
    "TIFF packed": encoded(seven(), "TIFF", compression="tiff_lzw"),
    "WEBP": encoded(seven(), "WEBP"),
}


def only_input_errors(data):
    """Load bytes that may be damaged: a picture, or an InputError of one line, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pixels = decoded(data)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim in (2, 3)


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_truncated_anywhere(kind):
    data = WHOLE[kind]
    for length in np.unique(np.linspace(1, len(data) - 1, 40).astype(int)):
        only_input_errors(data[:length])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data):
    only_input_errors(data)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_damaged_files(kind, changes):
    data = bytearray(WHOLE[kind])
    for place, value in changes:
        # Headers decide most, so most of the damage is done there.
        data[int(place**2 * len(data))] = value
    only_input_errors(bytes(data))


def test_importable_without_paddle():
    code = "import sys; import mnist.pictures.decode; sys.exit('paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), timeout=60)
    assert done.returncode == 0
