"""Connections that ask for nothing are closed, and there are never more than descriptors."""

import resource
from typing import Any, Optional, Tuple, Type

from uvicorn.protocols.http.h11_impl import H11Protocol

from mnist.base import notes

MOST = 1000
MOST_DESCRIPTORS = 1 << 14
# Descriptors for all else: the listener, the log, pictures that are on their way.
SPARE = 64

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


def bounds() -> Tuple[int, int]:
    """How many connections there may be, and how many are accepted in one go.

    Without a free descriptor asyncio would write a traceback for each that waits. Some rounds of
    accepting pass before one too many is closed, so there is room for as many again.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    room = max(16, limit - SPARE)
    return min(MOST, room // 2), min(128, room // 16)


def protocol(seconds: float, most: int) -> Type[H11Protocol]:
    """Uvicorn's HTTP protocol, with so many seconds for a request's head, and a bound."""
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
