"""The HTTP interface without a network: what it takes, what it refuses, its limits."""

import asyncio
import base64
import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import jsonschema
import numpy as np
import pytest
import schemathesis
from helpers import ROOT, digits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import mnist
from mnist.model.predictor import Prediction
from mnist.pictures import reading
from mnist.serve import api
from mnist.serve.batching import Batcher
from mnist.serve.middleware import Metrics

SAMPLES = ROOT / "data" / "samples"
SEVEN = (SAMPLES / "seven.png").read_bytes()
PNG = {"content-type": "image/png"}


def count_ink(images):
    """A stand-in for the model: its digit is the number of inked pixels, modulo 10."""
    return [(prediction_of(image), None) for image in images]


def prediction_of(image):
    digit = int((image > 0).sum()) % 10
    others = [(other, 0.0) for other in range(10) if other != digit]
    return Prediction(digit, 1.0, [(digit, 1.0), *others])


@contextmanager
def application(work=count_ink, **limits):
    batcher = Batcher(work, max_batch=8)
    with ThreadPoolExecutor(2) as decoders:
        yield api.build(batcher, decoders, "stand-in", api.Limits(**limits), Metrics())
    batcher.close()


def client_of(app):
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)


def send(app, method, url, **options):
    async def run():
        async with client_of(app) as client:
            return await client.request(method, url, **options)

    return asyncio.run(run())


def post(app, **options):
    return send(app, "POST", "/predict", **options)


def error_of(answer, status):
    """The one line of an error, which is all that an error's answer has."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    line = answer.json()["error"]
    assert line and "\n" not in line and "Traceback" not in line and len(line) < 400
    return line


@pytest.fixture(scope="module")
def app():
    with application() as made:
        yield made


# --- What it takes ---


def test_a_picture_is_read_as_the_predict_verb_reads_it(app):
    image = reading.read_digit(SAMPLES / "seven.png")
    answer = post(app, content=SEVEN, headers=PNG).json()
    assert answer["model"] == "stand-in"
    assert answer["predictions"] == [
        {
            "digit": prediction_of(image).digit,
            "confidence": 1.0,
            "is_digit": True,
            "reason": "",
            "doubt": 0.0,
            "probabilities": [float(n == prediction_of(image).digit) for n in range(10)],
        }
    ]
    explained = post(app, content=SEVEN, headers=PNG, params={"explain": True}).json()
    assert explained["predictions"][0]["image"] == image.tolist()
    assert explained["predictions"][0]["feature_maps"] == []


def test_every_form_of_a_body_gives_the_same_in_order(app):
    files = sorted(SAMPLES.glob("*.png"))
    expected = [prediction_of(reading.read_digit(path)).digit for path in files]

    def read(**options):
        return [found["digit"] for found in post(app, **options).json()["predictions"]]

    assert read(files=[("file", path.read_bytes()) for path in files]) == expected
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in files]
    assert read(json={"images": encoded}) == expected
    in_lines = [base64.encodebytes(path.read_bytes()).decode() for path in files]
    assert all("\n" in text for text in in_lines)
    assert read(json={"images": in_lines}) == expected
    assert read(json={"images": [text.replace("\n", "\r\n") for text in in_lines]}) == expected
    assert read(json={"images": ["data:image/png;base64," + text for text in encoded]}) == expected
    pixels = [reading.read_digit(path).tolist() for path in files]
    assert read(json={"images": pixels}) == expected
    assert read(json={"images": [encoded[0], pixels[1]]}) == expected[:2]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 255), min_size=784, max_size=784))
def test_pixels_are_taken_as_they_are(app, values):
    pixels = np.array(values).reshape(28, 28).tolist()
    answer = post(app, json={"images": [pixels]}, params={"explain": "1"})
    assert answer.json()["predictions"][0]["image"] == pixels


def test_the_page_and_its_files_come_from_here_and_forbid_all_else(app):
    page = send(app, "GET", "/")
    assert "text/html" in page.headers["content-type"]
    names = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert {"static/app.js", "static/style.css"} <= set(names)
    docs = send(app, "GET", "/docs")
    names += re.findall(r'(?:href|src)="([^"]+)"', docs.text)
    for answer in [page, docs, *(send(app, "GET", "/" + name) for name in names)]:
        assert answer.status_code == 200 and "://" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text and " style=" not in page.text


def test_health_and_figures(app):
    assert send(app, "GET", "/healthz").json() == {"status": "ok", "model": "stand-in"}
    with application() as fresh:
        post(fresh, content=SEVEN, headers=PNG)
        post(fresh, content=b"")
        send(fresh, "GET", "/a-name-of-somebody's-choice")
        text = send(fresh, "GET", "/metrics").text
    assert 'mnist_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'mnist_requests_total{route="/predict",status="415"} 1.0' in text
    assert 'mnist_requests_total{route="unknown",status="404"} 1.0' in text
    assert 'mnist_request_seconds_count{route="/predict"} 2.0' in text
    assert "mnist_queue_depth 0.0" in text and "mnist_images_under_way 0.0" in text
    assert "somebody" not in text


# --- What it refuses ---


@pytest.mark.parametrize(
    "options, status, named",
    [
        ({}, 415, "content-type"),
        ({"data": {"image": "x"}}, 415, "x-www-form-urlencoded"),
        ({"content": b"", "headers": PNG}, 400, "empty"),
        ({"content": b"GIF89a", "headers": PNG}, 422, "picture"),
        ({"content": SEVEN[:500], "headers": PNG}, 422, "damaged"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "JSON"),
        ({"json": {}}, 422, "images"),
        ({"json": {"images": []}}, 422, "images"),
        ({"json": {"images": ["!"]}}, 422, "images.0: not base64"),
        ({"json": {"images": ["é"]}}, 422, "images.0: not base64"),
        ({"json": {"images": [[[0] * 28] * 27]}}, 422, "28"),
        ({"json": {"images": [[[0] * 28] * 27 + [[0] * 27 + [256]]]}}, 422, "27.27"),
        ({"json": {"images": [[[0] * 28] * 27 + [[0] * 27 + [0.5]]]}}, 422, "27.27"),
        ({"json": {"images": [None]}}, 422, "images.0"),
        ({"json": {"images": [[[0] * 28] * 28], "more": 1}}, 422, "more"),
        ({"files": {"file": b"x"}}, 422, "picture"),
        ({"files": [("a", SEVEN), ("b", b"x")]}, 422, "images.1"),
        ({"data": {"name": "x"}, "files": {"file": SEVEN}}, 400, "nothing else"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "boundary",
        ),
        (
            {"content": b"xyz", "headers": {"content-type": "multipart/form-data; boundary=a"}},
            400,
            "multipart",
        ),
        ({"content": SEVEN, "headers": PNG, "params": {"explain": "x"}}, 422, "explain"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(app, options, status, named):
    assert named in error_of(post(app, **options), status)


def test_a_blank_picture_has_no_digit(app):
    buffer = io.BytesIO()
    Image.new("L", (50, 50), 255).save(buffer, "PNG")
    assert "no ink" in error_of(post(app, content=buffer.getvalue(), headers=PNG), 422)


def test_several_digits_are_said_to_be_several(app):
    left, right = (np.pad(image, 8) for image in digits().eval.images[:2])
    picture = Image.fromarray(255 - np.hstack([left, right])).resize((528, 264))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    assert "several digits" in error_of(post(app, content=buffer.getvalue(), headers=PNG), 422)


def test_other_methods_and_routes(app):
    error_of(send(app, "GET", "/predict"), 405)
    error_of(send(app, "GET", "/static/../serve.py"), 404)
    error_of(send(app, "GET", "/static/%2e%2e/serve.py"), 404)


TYPES = st.sampled_from(
    ["image/png", "application/json", "multipart/form-data; boundary=b", "", "image/webp", "\xff"]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
PART = b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'


@settings(max_examples=150)
@given(kind=TYPES, body=st.binary(max_size=300), start=st.sampled_from([b"", PART, b"--b", b"{"]))
def test_any_bytes_get_an_orderly_answer(app, kind, body, start):
    answer = post(app, content=start + body, headers={b"content-type": kind.encode("latin-1")})
    error_of(answer, answer.status_code)
    assert answer.status_code in (400, 413, 415, 422)


@settings(max_examples=100)
@given(value=JSON_VALUES)
def test_any_json_gets_an_orderly_answer(app, value):
    for sent in (value, {"images": value}, {"images": [value]}):
        answer = post(app, content=json.dumps(sent), headers={"content-type": "application/json"})
        error_of(answer, answer.status_code)
        assert answer.status_code in (400, 422)


def test_deep_json_is_refused(app):
    deep = b'{"images":' + b"[" * 100_000
    error_of(post(app, content=deep, headers={"content-type": "application/json"}), 400)


# --- Limits ---


def test_a_large_body_is_refused_whether_or_not_it_says_so():
    async def drip():
        for _ in range(40):
            yield bytes(1000)
        raise AssertionError("more was read than the limit")

    with application(max_bytes=20_000) as app:
        error_of(post(app, content=bytes(20_001), headers=PNG), 413)
        error_of(post(app, content=drip(), headers=PNG), 413)
        kind = {"content-type": "multipart/form-data; boundary=b"}
        error_of(post(app, content=PART + bytes(20_001), headers=kind), 413)
        assert post(app, content=SEVEN, headers=PNG).status_code == 200


def test_too_many_pixels_are_refused_before_they_are_decoded(app):
    buffer = io.BytesIO()
    Image.new("1", (4001, 4000)).save(buffer, "PNG")
    assert "16 million" in error_of(post(app, content=buffer.getvalue(), headers=PNG), 413)
    with application(max_pixels=17_000_000) as other:
        assert "no ink" in error_of(post(other, content=buffer.getvalue(), headers=PNG), 422)


def test_a_telephones_photo_of_24_megapixels_is_read(app):
    paper = Image.new("L", (6000, 4000), 255)
    paper.paste(Image.open(io.BytesIO(SEVEN)).convert("L").resize((2000, 1500)), (2000, 1200))
    buffer = io.BytesIO()
    paper.save(buffer, "JPEG")
    answer = post(app, content=buffer.getvalue(), headers={"content-type": "image/jpeg"})
    assert answer.status_code == 200, answer.text


def test_more_pictures_than_there_are_places_are_never_taken():
    pixels = np.eye(28, dtype=int).tolist()
    with application(images=5) as app:
        assert len(post(app, json={"images": [pixels] * 5}).json()["predictions"]) == 5
        assert "5" in error_of(post(app, json={"images": [pixels] * 6}), 413)
        error_of(post(app, files=[("file", SEVEN)] * 6), 400)
        assert len(post(app, files=[("file", SEVEN)] * 5).json()["predictions"]) == 5


def test_many_pictures_at_once(app):
    chosen = digits().eval.images[:200]
    answer = post(app, json={"images": chosen.tolist()}).json()
    found = [reading["digit"] for reading in answer["predictions"]]
    assert found == [prediction_of(image).digit for image in chosen]


def test_a_body_that_does_not_arrive_in_time_is_given_up():
    async def stall():
        yield b"x"
        await asyncio.sleep(30)

    with application(timeout=0.2) as app:
        error_of(post(app, content=stall(), headers=PNG), 408)


def test_an_answer_that_takes_too_long_is_given_up_and_its_places_are_free_again():
    go = threading.Event()

    def slow(images):
        go.wait(30)
        return count_ink(images)

    with application(slow, timeout=0.5, images=1) as app:
        error_of(post(app, content=SEVEN, headers=PNG), 504)
        go.set()
        assert post(app, content=SEVEN, headers=PNG).status_code == 200


def test_a_full_house_says_when_to_come_again_and_those_inside_are_served():
    go = threading.Event()

    def held(images):
        assert go.wait(30)
        return count_ink(images)

    async def run(app):
        async with client_of(app) as client:
            inside = [
                asyncio.ensure_future(client.post("/predict", content=SEVEN, headers=PNG))
                for _ in range(4)
            ]
            while "under_way 4.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.01)
            refused = await client.post("/predict", content=SEVEN, headers=PNG)
            assert (await client.get("/healthz")).status_code == 200
            go.set()
            return refused, await asyncio.gather(*inside)

    with application(held, images=4) as app:
        refused, served = asyncio.run(run(app))
    assert "busy" in error_of(refused, 503)
    assert refused.headers["retry-after"] == "1"
    assert [answer.status_code for answer in served] == [200] * 4


def test_what_breaks_inside_stays_inside(capsys):
    def broken(images):
        raise RuntimeError("secret/path\nof the server")

    with application(broken) as app:
        answer = post(app, content=SEVEN, headers=PNG)
    assert "secret" not in error_of(answer, 500)
    assert "default-src" in answer.headers["content-security-policy"]
    printed = capsys.readouterr().err
    assert printed.startswith("WARNING: ") and len(printed.splitlines()) == 1


# --- The documentation ---


@schemathesis.serializer("image/png", aliases=("image/jpeg",))
class PictureSerializer:
    def as_requests(self, context, value):
        return {"data": value if isinstance(value, bytes) else str(value).encode()}

    as_werkzeug = as_requests


@pytest.fixture(scope="module")
def documented(app):
    return schemathesis.from_asgi("/openapi.json", app)


def test_every_field_of_an_answer_is_documented():
    def with_maps(images):
        return [(prediction, np.eye(3)[np.newaxis]) for prediction, _ in count_ink(images)]

    with application(with_maps) as app:
        document = send(app, "GET", "/openapi.json").json()
        answers = [post(app, content=SEVEN, headers=PNG, params={"explain": e}) for e in (0, 1)]
    plain, explained = (answer.json() for answer in answers)
    fields = document["components"]["schemas"]["Reading"]
    assert set(explained["predictions"][0]) == set(fields["properties"])
    assert set(plain["predictions"][0]) == set(fields["required"])
    for answer in (plain, explained):
        jsonschema.validate(answer, {"$ref": "#/components/schemas/Readings", **document})
    assert document["info"]["version"] == mnist.__version__
    assert "images" in document["components"]["schemas"]["Pictures"]["properties"]


schema = schemathesis.from_pytest_fixture("documented")


@schema.parametrize()
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_the_interface_is_as_documented(case):
    case.call_and_validate()
