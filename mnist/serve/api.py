"""The HTTP interface: routes and their limits; ``openapi.yaml`` documents it."""

import asyncio
import time
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Awaitable, Dict, Iterator, List, Optional, Tuple, TypeVar

import numpy as np
import swagger_ui_bundle  # type: ignore[import-untyped]
import yaml
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

import mnist
from mnist.base.arrays import Array
from mnist.model.predictor import Prediction
from mnist.pictures.normalize import Grey
from mnist.serve import requests
from mnist.serve.batching import Batcher
from mnist.serve.middleware import HEADERS, Metrics, Middleware

ASSETS = Path(__file__).parent / "web"

DOCUMENTED = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text("utf-8"))
DOCUMENTED["info"]["version"] = mnist.__version__
DOCUMENTED["components"]["schemas"]["Pictures"] = requests.Pictures.model_json_schema()

# Swagger's pages have pictures inside their style sheet.
DOCS_POLICY = HEADERS["content-security-policy"].replace("img-src 'self'", "img-src 'self' data:")

T = TypeVar("T")

Answer = Tuple[Prediction, Optional[Array]]
"""And the maps of the model's first convolution, float32 ``[K,h,w]``, if it has one."""


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how much may be under way at once.

    ``timeout`` is in seconds, and counts twice: for the body to arrive, and for the answer.
    ``images`` counts those of all requests that are not answered yet; ``max_pixels`` is for
    each, and bounds the memory that decoding takes, up to 45 bytes a pixel.
    """

    max_bytes: int = 8 << 20
    max_pixels: int = 16_000_000
    timeout: float = 10.0
    images: int = 256


@dataclass
class Predictions:
    """Carries a request's pictures through decoding and the model, within the limits.

    For the event loop only. ``under_way`` counts images that have a place and no answer yet.
    """

    batcher: "Batcher[Grey, Answer]"
    decoders: Executor
    limits: Limits
    under_way: int = 0

    @contextmanager
    def _places(self, number: int) -> Iterator[None]:
        """Keep places for ``number`` images, or refuse with 503."""
        if self.under_way + number > self.limits.images:
            raise HTTPException(503, "busy; try again in a second", {"Retry-After": "1"})
        self.under_way += number
        try:
            yield
        finally:
            self.under_way -= number

    async def read(self, request: Request, explain: bool) -> List[Dict[str, Any]]:
        """The digits on the pictures of a request; raises HTTPException."""
        with self._places(1):
            reading = requests.read(request, self.limits.max_bytes, self.limits.images)
            body = await self._in_time(reading, 408, "the body did not arrive")
            return await self._in_time(self._answer(body, explain), 504, "no answer")

    async def _in_time(self, work: Awaitable[T], status: int, what: str) -> T:
        try:
            return await asyncio.wait_for(work, self.limits.timeout)
        except (asyncio.TimeoutError, TimeoutError):
            raise HTTPException(status, f"{what} within {self.limits.timeout:g} s") from None

    async def _answer(self, body: Any, explain: bool) -> List[Dict[str, Any]]:
        deadline = time.monotonic() + self.limits.timeout
        on_thread = partial(asyncio.get_running_loop().run_in_executor, self.decoders)
        pictures = await on_thread(requests.pictures, body, self.limits.images)
        with self._places(len(pictures) - 1):
            most = self.limits.max_pixels
            images = await on_thread(requests.digits, pictures, most, deadline)
            futures = map(asyncio.wrap_future, map(self.batcher.submit, images))
            answers = await asyncio.gather(*futures)
        return [_reading(image, answer, explain) for image, answer in zip(images, answers)]


def _reading(image: Grey, answer: Answer, explain: bool) -> Dict[str, Any]:
    prediction, maps = answer
    reading = {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "is_digit": prediction.is_digit,
        "reason": prediction.reason,
        "doubt": prediction.doubt,
        "probabilities": [probability for _, probability in sorted(prediction.ranking)],
    }
    if explain:
        reading["image"] = image.tolist()
        reading["feature_maps"] = [] if maps is None else as_pictures(maps)
    return reading


def as_pictures(maps: Array) -> List[List[List[int]]]:
    """Feature maps on one scale, 0–255: black is zero (or the lowest, if negative)."""
    low, high = min(0.0, float(maps.min())), float(maps.max())
    return list(np.rint((maps - low) * (255 / max(high - low, 1e-9))).astype(int).tolist())


def build(
    batcher: "Batcher[Grey, Answer]", decoders: Executor, model: str, limits: Limits,
    metrics: Metrics,
) -> FastAPI:  # fmt: skip
    """The application. ``decoders`` does the work on pictures, ``batcher`` that of the model."""
    predictions = Predictions(batcher, decoders, limits)
    metrics.waiting.set_function(lambda: len(batcher))
    metrics.under_way.set_function(lambda: predictions.under_way)
    app = FastAPI(docs_url=None, redoc_url=None)
    app.openapi = lambda: DOCUMENTED  # type: ignore[method-assign]
    app.add_middleware(Middleware, metrics=metrics)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _wrong_parameter)
    _add_pages(app)

    @app.get("/healthz")
    async def healthz() -> Dict[str, str]:
        return {"status": "ok", "model": model}

    @app.get("/metrics")
    async def figures() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/predict")
    async def predict(request: Request, explain: bool = False) -> JSONResponse:
        found = await predictions.read(request, explain)
        return JSONResponse({"model": model, "predictions": found})

    return app


def _add_pages(app: FastAPI) -> None:
    """The page to draw on, and the documentation's."""

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> FileResponse:
        return FileResponse(ASSETS / "index.html")

    @app.api_route("/docs", methods=["GET", "HEAD"])
    async def docs() -> FileResponse:
        return FileResponse(ASSETS / "docs.html", headers={"content-security-policy": DOCS_POLICY})

    app.mount("/static", StaticFiles(directory=ASSETS))
    app.mount("/swagger", StaticFiles(directory=swagger_ui_bundle.swagger_ui_path))


async def _refusal(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _wrong_parameter(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)
