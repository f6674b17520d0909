"""What is so for every answer: its headers, its place in the figures, no traceback in it."""

import time
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist.base import notes

LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

HEADERS = {
    # Everything comes from this server, and nothing is inline.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Metrics:
    """What one server counts and times, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self.requests = Counter(
            "mnist_requests", "Requests answered", ("route", "status"), registry=self.registry
        )
        self.seconds = histogram(
            "mnist_request_seconds", "From the request's head to its answer's end", ("route",),
            buckets=LATENCIES,
        )  # fmt: skip
        self.batches = histogram("mnist_batch_size", "Images predicted together", buckets=BATCHES)
        self.waiting = gauge("mnist_queue_depth", "Images that wait for the model")
        self.under_way = gauge("mnist_images_under_way", "Images of requests not answered yet")


class Middleware:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            notes.warn(f"{scope['path']!r}: {type(error).__name__}: {' '.join(str(error).split())}")
            if not status:
                answer = JSONResponse({"error": "an error inside the server"}, 500)
                await answer(scope, receive, send_with_headers)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _route(scope: Any) -> str:
    """The route's pattern; what is asked for by others' names does not make new series."""
    if "route" in scope:
        return str(scope["route"].path)
    return "files" if "endpoint" in scope else "unknown"
