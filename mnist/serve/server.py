"""A server from its first line to its last: socket, connections, model, threads, signals."""

import ctypes
import ipaddress
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from types import FrameType
from typing import Any, List, Optional, Sequence, Tuple, Type

import numpy as np
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnist.base import notes, processors, signals
from mnist.base.errors import InputError, Interrupted, failing_as
from mnist.config.classes import are_digits
from mnist.model import inside, opening
from mnist.model.predictor import Predictor
from mnist.pictures import reading
from mnist.pictures.normalize import Grey
from mnist.serve import api
from mnist.serve.batching import Batcher
from mnist.serve.middleware import Metrics

MAX_BATCH = 64

MOST_CONNECTIONS = 1000
MOST_DESCRIPTORS = 1 << 14
# For all else: the listener, the log, pictures that are on their way.
SPARE_DESCRIPTORS = 64

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def serve(
    host: str, port: int, checkpoint: Optional[str], assume: Sequence[str], doubt: float,
    limits: api.Limits,
) -> None:  # fmt: skip
    """Serve until a signal comes, then finish what is under way and raise Interrupted."""
    path = opening.find_reader(checkpoint)
    with suppress(AttributeError):  # another C library
        # By itself glibc keeps large blocks: after two pictures of 50 million pixels 770 MB.
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    # The decoders' threads share the processors out already.
    processors.keep_opencv_to_one()
    with listening_socket(host, port) as listener:
        model = Predictor(path, assume, doubt)
        if not are_digits(model.classes):
            names = ", ".join(model.classes)
            raise InputError(f"{path}: the page reads digits; this model tells apart {names}")
        reading.reader()
        maps, name = inside.watch_first_maps(model.model), model.model.config.name
        metrics = Metrics()

        def answer(images: List[Grey]) -> List[api.Answer]:
            metrics.batches.observe(len(images))
            predictions = model.predict(np.stack(images))
            return list(zip(predictions, maps[0].numpy() if maps else repeat(None)))

        batcher = Batcher(answer, MAX_BATCH)
        with ThreadPoolExecutor(processors.count(), thread_name_prefix="decoder") as decoders:
            app = api.build(batcher, decoders, name, limits, metrics)
            host, port = listener.getsockname()[:2]
            url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
            greeting = f"{name} of {path} reads digits at {url}"
            server = _Server(app, limits.timeout, greeting)
            signals.listen(server.handle_exit)
            server.run([listener])
        batcher.close()
    number = server.stop.signal_number
    if number is not None:
        answered = f"{server.server_state.total_requests} requests answered"
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {answered}", number)


class _Server(uvicorn.Server):
    """Says where it is, and stops as the other verbs do: a second signal exits at once."""

    def __init__(self, app: FastAPI, timeout: float, greeting: str) -> None:
        most, backlog = _bounds()
        config = uvicorn.Config(
            app, http=_protocol(timeout, most), backlog=backlog,
            ws="none", loop="asyncio", lifespan="off",
            log_config=None, access_log=False, server_header=False,
            # A request's body and its answer have their time, and then it is over.
            timeout_graceful_shutdown=round(2 * timeout) + 1,
        )  # fmt: skip
        super().__init__(config)
        self.stop = signals.StopRequest("finishing what is under way")
        self._greeting = greeting

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        await super().startup(sockets)
        # The few that asyncio accepts in one go are not the number that may wait.
        for listener in sockets or []:
            listener.listen(socket.SOMAXCONN)
        print(f"{self._greeting} (its interface: /docs; Ctrl-C stops)", flush=True)

    def handle_exit(self, sig: int, frame: Optional[FrameType]) -> None:
        self.stop.handle(sig, frame)
        self.should_exit = True


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket with its address, not listening yet; port 0 is any free one.

    Raises InputError for a host without an address, Failure for one that cannot be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host}: no address of this machine ({reason})") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with failing_as(f"--host {host} --port {port}: cannot be used; choose another --port"):
        listener.bind(address)
    if not ipaddress.ip_address(address[0]).is_loopback:
        notes.warn(
            f"--host {host}: whoever reaches this machine over a network can use the page; there"
            " is no password and no encryption (the default, 127.0.0.1, is for this machine only)"
        )
    return listener


def _bounds() -> Tuple[int, int]:
    """How many connections there may be, and how many are accepted in one go.

    Without a free descriptor asyncio would write a traceback for each that waits. Some rounds of
    accepting pass before one too many is closed, so there is room for as many again.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    room = max(16, limit - SPARE_DESCRIPTORS)
    return min(MOST_CONNECTIONS, room // 2), min(128, room // 16)


def _protocol(seconds: float, most: int) -> Type[H11Protocol]:
    """Uvicorn's HTTP protocol, but what asks for nothing is closed, and so is one too many."""
    told = False

    class Bounded(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            nonlocal told
            super().connection_made(transport)
            if len(self.connections) > most:
                if not told:
                    told = True
                    notes.warn(f"{most} connections; more are turned away until some end")
                transport.write(BUSY)
                transport.close()
            self._alarm = self.loop.call_later(seconds, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Optional[Exception]) -> None:
            self._alarm.cancel()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Let the time run while no request is under way, whatever bytes drip in."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._alarm.cancel()
            elif self._alarm.cancelled():
                self._alarm = self.loop.call_later(seconds, self.transport.abort)

    return Bounded
