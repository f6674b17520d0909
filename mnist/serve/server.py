"""A server from its first line to its last: socket, model, threads, signals."""

import ctypes
import ipaddress
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import List, Optional, Sequence

import uvicorn
from fastapi import FastAPI

from mnist.base import notes, processors, signals
from mnist.base.errors import InputError, Interrupted, failing_as
from mnist.model import opening
from mnist.pictures import reading
from mnist.serve import api
from mnist.serve.batching import Batcher
from mnist.serve.connections import bounds, protocol
from mnist.serve.explanation import ExplainingPredictor
from mnist.serve.middleware import Metrics

MAX_BATCH = 64

# glibc's option M_MMAP_THRESHOLD, and what it is set to.
M_MMAP_THRESHOLD = -3
OWN_MAPPING_BYTES = 1 << 20


def serve(
    host: str, port: int, checkpoint: Optional[str], assume: Sequence[str], doubt: float,
    limits: api.Limits,
) -> None:  # fmt: skip
    """Serve until a signal comes, then finish what is under way and raise Interrupted."""
    path = opening.find_reader(checkpoint)
    _give_memory_back()
    # The decoders' threads share the processors out already.
    processors.keep_opencv_to_one()
    with listening_socket(host, port) as listener:
        model = ExplainingPredictor(path, assume, doubt)
        reading.reader()
        metrics = Metrics()
        batcher = Batcher(model.answer, MAX_BATCH, metrics.batches.observe)
        with ThreadPoolExecutor(processors.count(), thread_name_prefix="decoder") as decoders:
            app = api.build(batcher, decoders, model.model_name, limits, metrics)
            host, port = listener.getsockname()[:2]
            url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
            greeting = f"{model.model_name} of {path} reads digits at {url}"
            server = _Server(app, limits.timeout, greeting)
            signals.listen(server.handle_exit)
            server.run([listener])
        batcher.close()
    number = server.stop.signal_number
    if number is not None:
        answered = f"{server.server_state.total_requests} requests answered"
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {answered}", number)


def _give_memory_back() -> None:
    """Let large blocks of memory go back to the system as soon as they are freed.

    glibc by itself keeps blocks of up to 32 MiB once such were in use: two pictures of 50
    million pixels decoded at once left 770 MB behind, and 20 MB with this.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)


class _Server(uvicorn.Server):
    """Says where it is, and stops as the other verbs do: a second signal exits at once."""

    def __init__(self, app: FastAPI, timeout: float, greeting: str) -> None:
        most, backlog = bounds()
        config = uvicorn.Config(
            app, http=protocol(timeout, most), backlog=backlog,
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
