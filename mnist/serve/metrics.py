"""What a server counts and times, for Prometheus."""

from typing import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One server's figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "mnist_requests", "Requests answered", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "mnist_request_seconds", "From the request's head to its answer's end", ("route",),
            buckets=LATENCIES, registry=self._registry,
        )  # fmt: skip
        self._batches = Histogram(
            "mnist_batch_size", "Images predicted together",
            buckets=BATCHES, registry=self._registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "mnist_queue_depth", "Images that wait for the model", registry=self._registry
        )
        self._under_way = Gauge(
            "mnist_images_under_way", "Images of requests that are not answered yet",
            registry=self._registry,
        )  # fmt: skip

    def watch(self, waiting: Callable[[], float], under_way: Callable[[], float]) -> None:
        """Ask these for the queue's figures whenever they are wanted."""
        self._waiting.set_function(waiting)
        self._under_way.set_function(under_way)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, size: int) -> None:
        """Count a batch of images."""
        self._batches.observe(size)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self._registry)
