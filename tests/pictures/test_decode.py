"""Pictures of digits: decoding, refusing, and bringing them into MNIST's form."""

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
from mnist.data import course_json, idx
from mnist.pictures import decode, normalize

SAMPLES = ROOT / "data" / "samples"
WORDS = "zero one two three four five six seven eight nine".split()


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
    """How well two 28×28 images agree: 1 where they are the same."""
    blurred = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2) for image in (left, right)]
    return float(np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1])


def digit_of(data):
    return decode.to_mnist(decode.load_image(data))


REFERENCE = decode.to_mnist(seven())


@pytest.fixture(scope="module")
def bundled():
    return course_json.read(DIGITS).splits


# --- the form ---


@pytest.mark.parametrize("slant", [6, 14, 25])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_one_that_is_cut_out_tightly(slant, inverted):
    picture = np.full((200, 40 + slant), 255, np.uint8)
    cv2.line(picture, (20 + slant, 20), (20, 180), 0, 16, cv2.LINE_AA)
    rows, columns = (np.flatnonzero((picture < 128).any(axis)) for axis in (1, 0))
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = decode.to_mnist(255 - cut if inverted else cut)
    assert alike(found, decode.to_mnist(np.pad(picture, 60, constant_values=255))) > 0.85


@pytest.mark.parametrize("seed", range(6))
def test_blank_paper_in_strongly_uneven_light_is_no_ink(seed):
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[:240, :240] / 240 - 0.5
    light = 0.6 - rng.uniform(0.5, 0.95) * (x * rng.choice([-1, 1]) + 0.3 * y * rng.uniform(-1, 1))
    paper = np.clip(230 * light + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)
    with pytest.raises(InputError, match="no ink found"):
        decode.to_mnist(paper)


@pytest.mark.parametrize("inset", range(0, 10, 3))
@pytest.mark.parametrize("thickness", [2, 4, 6])
def test_a_frame_near_the_edge(inset, thickness):
    picture = np.pad(seven(240, 20), 40, constant_values=255)
    corner = picture.shape[0] - 1 - inset
    cv2.rectangle(picture, (inset, inset), (corner, corner), 40, thickness)
    assert alike(decode.to_mnist(picture), REFERENCE) > 0.97


def test_form_of_the_result():
    assert REFERENCE.shape == (28, 28)
    assert REFERENCE.dtype == np.uint8
    assert normalize.is_mnist_form(REFERENCE)
    rows, columns = (np.flatnonzero((REFERENCE > 0).any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    mass = REFERENCE.astype(float)
    for axis in (0, 1):
        centre = (mass.sum(axis) * np.arange(28)).sum() / mass.sum()
        assert abs(centre - 14) <= 0.5


@pytest.mark.parametrize(
    "size, pen", [(40, 4), (120, 10), (120, 1), (120, 24), (1000, 2), (1500, 90)]
)
def test_any_size_and_pen(size, pen):
    assert alike(decode.to_mnist(seven(size, pen)), REFERENCE) > 0.85


def test_light_ink_is_the_same_as_dark():
    np.testing.assert_allclose(
        decode.to_mnist(255 - seven()).astype(int), REFERENCE.astype(int), atol=30
    )


@pytest.mark.parametrize("top, left", [(0, 0), (380, 0), (0, 380), (200, 100)])
def test_off_centre(top, left):
    paper = np.full((500, 500), 255, np.uint8)
    paper[top : top + 120, left : left + 120] = seven()
    assert alike(decode.to_mnist(paper), REFERENCE) > 0.97


def test_uneven_light():
    light = np.linspace(1, 0.35, 240)[None, :] * np.linspace(1, 0.8, 240)[:, None]
    assert alike(decode.to_mnist(np.uint8(seven(240, 20) * light)), REFERENCE) > 0.97


def test_noise():
    rng = np.random.RandomState(1)
    noisy = seven(240, 20) * 0.6 + 40 + rng.normal(0, 12, (240, 240))
    assert alike(decode.to_mnist(np.clip(noisy, 0, 255).astype(np.uint8)), REFERENCE) > 0.97


def test_specks_are_not_ink():
    picture = seven(240, 20)
    for x, y in ((10, 12), (225, 30), (14, 220), (220, 228)):
        cv2.circle(picture, (x, y), 3, 0, -1)
    assert alike(decode.to_mnist(picture), REFERENCE) > 0.97


@pytest.mark.parametrize("inset, thickness", [(0, 3), (0, 8), (8, 2)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_frame_is_not_ink(inset, thickness, inverted):
    picture = np.pad(seven(240, 20), 24, constant_values=255)
    corner = picture.shape[0] - 1 - inset
    cv2.rectangle(picture, (inset, inset), (corner, corner), 0, thickness)
    assert alike(decode.to_mnist(255 - picture if inverted else picture), REFERENCE) > 0.97


def test_a_line_along_one_edge_is_not_ink():
    picture = seven(240, 20)
    picture[:, :5] = 0
    assert alike(decode.to_mnist(picture), REFERENCE) > 0.97


def test_a_tight_crop():
    picture = seven(240, 40)
    rows, columns = (np.flatnonzero((picture < 128).any(axis)) for axis in (1, 0))
    cropped = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert alike(decode.to_mnist(cropped), decode.to_mnist(picture)) > 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (300, 200), (1, 5000), (5000, 1)])
def test_blank(level, shape):
    with pytest.raises(InputError, match="no ink found"):
        decode.to_mnist(np.full(shape, level, np.uint8))


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_no_ink(seed):
    paper = np.random.RandomState(seed).normal(200, 8, (300, 300)).astype(np.uint8)
    with pytest.raises(InputError, match="no ink found"):
        decode.to_mnist(paper)


def test_a_gradient_is_no_ink():
    paper = np.tile(np.linspace(120, 250, 300), (300, 1)).astype(np.uint8)
    with pytest.raises(InputError, match="no ink found"):
        decode.to_mnist(paper)


# --- what already has MNIST's form ---


def test_real_mnist_is_left_as_it_is(real_mnist):
    digits = idx.read_images(real_mnist / "t10k-images-idx3-ubyte.gz").array[:2000]
    assert all(np.array_equal(decode.to_mnist(digit), digit) for digit in digits)


def test_the_bundled_digits_are_left_as_they_are(bundled):
    for digit in np.concatenate([split_images for split_images, _ in bundled]):
        assert np.array_equal(decode.to_mnist(digit), digit)


def test_a_digit_saved_in_colour_is_left_as_it_is(bundled):
    digit = bundled[0][0][0]
    assert np.array_equal(digit_of(encoded(np.dstack([digit] * 3))), digit)


def test_bundled_digits_survive_a_dress(bundled):
    """Inverted and large, they come back as they were."""
    digits = bundled[2][0][:40]
    large = [cv2.resize(255 - d, (280, 280), interpolation=cv2.INTER_CUBIC) for d in digits]
    assert np.median([alike(decode.to_mnist(b), d) for b, d in zip(large, digits)]) > 0.97


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


def test_samples():
    pictures = sorted(SAMPLES.glob("*.png"))
    assert len(pictures) == 9
    for picture in pictures:
        assert picture.stem.split("-")[0] in WORDS
        assert picture.stat().st_size < 40_000
        assert normalize.is_mnist_form(decode.read_digit(picture))


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
    assert alike(digit_of(encoded(picture, kind)), REFERENCE) > 0.95


def test_floats_that_are_not_finite():
    values = seven().astype(np.float32)
    values[0, :3] = [np.nan, np.inf, -np.inf]
    assert decode.load_image(encoded(values, "TIFF")).shape == (120, 120)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PPM", "TIFF", "WEBP"])
def test_formats(kind):
    assert alike(digit_of(encoded(Image.fromarray(seven()).convert("RGB"), kind)), REFERENCE) > 0.95


def test_webp_lossless_and_transparent():
    picture = np.zeros((120, 120, 4), np.uint8)
    picture[..., 3] = 255 - seven()
    data = encoded(picture, "WEBP", lossless=True)
    assert alike(digit_of(data), REFERENCE) > 0.95


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.fromarray(seven()), Image.new("L", (120, 120), 255)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert alike(digit_of(data), REFERENCE) > 0.95


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (40, 80, 220), (128, 128, 128)])
def test_ink_on_nothing(ink):
    picture = np.empty((120, 120, 4), np.uint8)
    picture[..., :3], picture[..., 3] = ink, 255 - seven()
    assert alike(digit_of(encoded(picture)), REFERENCE) > 0.95


def test_a_card_with_clear_corners():
    picture = np.dstack([seven(240, 20)] * 3 + [np.zeros((240, 240), np.uint8)])
    picture[..., 3] = cv2.circle(np.zeros((240, 240), np.uint8), (120, 120), 150, 255, -1)
    assert alike(digit_of(encoded(picture)), REFERENCE) > 0.95


@pytest.mark.parametrize(
    "paper, ink",
    [
        ((250, 235, 150), (20, 20, 120)),
        ((40, 90, 50), (250, 250, 230)),
        ((200, 60, 60), (60, 110, 60)),
        ((255, 255, 255), (250, 200, 0)),
    ],
)
def test_coloured_ink_on_coloured_paper(paper, ink):
    share = seven()[..., None] / 255
    picture = np.uint8(share * paper + (1 - share) * np.array(ink))
    assert alike(digit_of(encoded(picture)), REFERENCE) > 0.95


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation):
    upright = Image.fromarray(np.pad(seven(), ((0, 40), (0, 0)), constant_values=255))
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    held = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(held, "JPEG", exif=exif, quality=95)
    assert decode.load_image(data).shape == (160, 120)
    assert alike(digit_of(data), REFERENCE) > 0.95


def test_broken_exif_is_not_the_picture():
    data = encoded(seven(), "JPEG", exif=b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" * 3)
    assert decode.load_image(data).shape == (120, 120)


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
        decode.load_image(png_claiming(*size))


def test_webp_bombs():
    def claiming(width, height):
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        frame = WHOLE["WEBP"][12:]
        body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + sides
        body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
        body += b"ANMF" + struct.pack("<I", 16 + len(frame)) + bytes(6) + b"\x77\0\0" * 2
        body += bytes(4) + frame
        return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body

    assert decode.load_image(claiming(120, 120)).shape == (120, 120)
    with pytest.raises(InputError, match="too many pixels \\(8000×7000\\)"):
        decode.load_image(claiming(8_000, 7_000))
    # Four bytes a pixel, twice: more than libwebp, or the machine, gives.
    with pytest.raises(InputError):
        decode.load_image(claiming(65_536, 65_536))


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        decode.read_digit(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("seven\n" * 10)
    (tmp_path / "half.png").write_bytes(encoded(seven())[:200])
    (tmp_path / "blank.png").write_bytes(encoded(np.full((50, 50), 255, np.uint8)))
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(decode.MAX_FILE_BYTES + 1)
    refused(tmp_path / "empty.png", "empty")
    refused(tmp_path / "text.png", "not a picture")
    refused(tmp_path / "half.png", "damaged")
    refused(tmp_path / "blank.png", "no ink found")
    refused(tmp_path / "folder.png", "it is a folder")
    refused(tmp_path / "pipe.png", "not a regular file")
    refused(tmp_path / "huge.png", "too large .more than 67,108,864 bytes")
    refused(tmp_path / "missing.png", "No such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    (tmp_path / "closed.png").write_bytes(encoded(seven()))
    (tmp_path / "closed.png").chmod(0)
    refused(tmp_path / "closed.png", "Permission denied")


def test_a_name_that_cannot_be_one():
    with pytest.raises(InputError, match=r"cannot be read \(embedded null byte\)"):
        decode.load_image("a\0b.png")


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
            digit = digit_of(data)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert digit.shape == (28, 28)


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


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_any_pixels(height, width, seed, share):
    rng = np.random.RandomState(seed)
    picture = np.where(rng.rand(height, width) < share, rng.randint(256), rng.randint(256))
    try:
        assert decode.to_mnist(picture.astype(np.uint8)).shape == (28, 28)
    except InputError:
        pass


def test_importable_without_paddle():
    code = "import sys; import mnist.pictures.decode; sys.exit('paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), timeout=60)
    assert done.returncode == 0
