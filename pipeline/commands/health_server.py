"""The HTTP port of a worker: /metrics for Prometheus, /healthz and /readyz for Kubernetes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from pipeline.errors import UserError
from pipeline.metrics import Meter

logger = logging.getLogger(__name__)

# The watchdog ends the process after four minutes in a batch; the health check must be slower.
_ALIVE_S = 300.0
# How often the server checks whether to stop; only the end of a worker waits for it.
_POLL_S = 0.1


@contextmanager
def serve_health(meter: Meter, host: str, port: int) -> Iterator[int]:
    """Serve a meter inside the block, and yield the port; port 0 lets the system choose one.

    /healthz answers 200 while the worker polls or handles a batch, and 503 after five minutes
    without progress; /readyz answers 503 until the first poll. Raises UserError if the port is
    taken.
    """
    try:
        server = ThreadingHTTPServer((host, port), _handler(meter))
    except OSError as error:
        raise UserError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}; set SWITCHBOARD_METRICS_PORT"
            " to another port for this stage"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(meter: Meter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # Do not reveal the program and its version.
        server_version, sys_version = "switchboard", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, meter.render(), CONTENT_TYPE_LATEST)
            elif path == "/healthz":
                self._say(
                    meter.last_heartbeat is None
                    or time.monotonic() - meter.last_heartbeat < _ALIVE_S
                )
            elif path == "/readyz":
                self._say(meter.last_heartbeat is not None)
            else:
                self._answer(
                    HTTPStatus.NOT_FOUND,
                    b"/metrics, /healthz, /readyz\n",
                    "text/plain; charset=utf-8",
                )

        def _say(self, good: bool) -> None:
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, b"ok\n" if good else b"not ok\n", "text/plain; charset=utf-8")

        def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            logger.debug(format, *args)

    return Handler
