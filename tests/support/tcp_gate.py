"""A gate on loopback before a server: it lets connections through, cuts them after some bytes, or
swallows what they carry.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

_CHUNK = 64 * 1024


class TcpGate:
    """Forwards connections to a loopback port; open from the start. Use as a context manager.

    With a TLS context it speaks TLS to clients and plain TCP to the server.
    """

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target_port = target_port
        self._tls = tls
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._left: int | None = None
        self._then: Callable[[], None] | None = None
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])

    def __enter__(self) -> TcpGate:
        threading.Thread(target=self._accept, name="gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        # Closing alone would leave it open for as long as a thread waits on it.
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.resume()
        self.drop()

    def drop(self) -> None:
        """Reset every connection that is open now; new ones are let through."""
        with self._lock:
            open_now, self._sockets = self._sockets, set()
        for one in open_now:
            _reset(one)

    def drop_after(self, count: int, then: Callable[[], None] | None = None) -> None:
        """Let `count` more bytes through from clients to the server, over all connections, then
        reset them all, once.

        `then` is called before the reset, while the server waits for the rest.
        """
        with self._lock:
            self._left, self._then = count, then

    def stall(self) -> None:
        """Swallow what comes: connections stay open, new ones too, and nothing passes, as where a
        cable is cut.
        """
        self._flows.clear()

    def resume(self) -> None:
        """End a stall: what was held back passes now."""
        self._flows.set()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="gate", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            _reset(client)
            return
        for one in (client, server):
            # As the driver's own: without it small packets wait 40 ms for one another.
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {client, server}
        back = threading.Thread(
            target=self._pump, args=(server, client, False), name="gate", daemon=True
        )
        back.start()
        self._pump(client, server, True)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flows.wait()
                passing = self._let(data) if counted else data
                target.sendall(passing)
                if len(passing) < len(data):
                    if self._then is not None:
                        self._then()
                    self.drop()
                    return
            target.shutdown(socket.SHUT_WR)
            return
        _reset(target)

    def _let(self, data: bytes) -> bytes:
        """Return how much of what a client sends may pass."""
        with self._lock:
            if self._left is None:
                return data
            passing = data[: self._left]
            self._left -= len(passing)
            if len(passing) < len(data):
                self._left = None
            return passing


def _reset(one: socket.socket) -> None:
    """Close a connection as a reset: whoever waits on it, on either side, is told at once."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
