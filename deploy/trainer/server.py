"""HTTP within bounds: on bodies, connections and time. What is answered is in `pages`."""

from __future__ import annotations

import hmac
import logging
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pages import Answer, Pages, Request
from samples import Invalid
from store import Store

BINARY_BYTES_MAX = 64 * 2**20
# Parsed JSON takes about ten times its length.
JSON_BYTES_MAX = 16 * 2**20
# Bodies that are read and parsed at a time; others wait so long.
BODIES_MAX = 2
BODY_WAIT_SECONDS = 10
BODY_SECONDS = 60
IDLE_SECONDS = 30
CONNECTIONS_MAX = 64

log = logging.getLogger("trainer")


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "warmpath-trainer"
    sys_version = ""
    timeout = IDLE_SECONDS
    # Head and body leave together.
    wbufsize = 2**16
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._respond()

    do_POST = do_GET

    def _respond(self) -> None:
        answer = self._answer()
        self.send_response(answer.status)
        if answer.status != 304:
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _answer(self) -> Answer:
        url = urlsplit(self.path)
        # Until the body is read, the connection cannot be used again.
        keep, self.close_connection = not self.close_connection, True
        if url.path not in Pages.OPEN and not self._is_allowed():
            return Answer.fault(401, "the token of this trainer is wanted", **{"WWW-Authenticate": "Bearer"})
        if "Transfer-Encoding" in self.headers:
            return Answer.fault(411, "a body must have a Content-Length")
        lengths = self.headers.get_all("Content-Length", ["0"])
        if len(lengths) > 1 or not re.fullmatch("[0-9]{1,12}", lengths[0]):
            return Answer.fault(400, "Content-Length: must be one whole number")
        length = int(lengths[0])
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        request = Request(url.path, query, self.headers, b"")
        most = BINARY_BYTES_MAX if request.is_binary else JSON_BYTES_MAX
        if length > most:
            return Answer.fault(413, f"a body of this type may have {most} bytes")
        if length > 0 and not self.server.bodies.acquire(timeout=BODY_WAIT_SECONDS):
            return Answer.fault(503, "too many bodies are being read", **{"Retry-After": "1"})
        try:
            if length > 0:
                request.body = self._read(length)
            self.close_connection = not keep
            return self.server.pages.answer(self.command, request)
        except Invalid as error:
            return Answer.fault(error.status, error.detail)
        except OSError:
            # The sender is gone, or far too slow.
            raise
        except Exception:
            log.exception("%s %s failed", self.command, url.path)
            return Answer.fault(500, "the request could not be handled")
        finally:
            request.body = b""
            if length > 0:
                self.server.bodies.release()

    def _is_allowed(self) -> bool:
        token = self.server.token
        sent = self.headers.get("Authorization", "")
        return not token or hmac.compare_digest(sent.encode("latin-1", "replace"), f"Bearer {token}".encode())

    def _read(self, length: int) -> bytes:
        """The body; a sender may be slow, but not for more than a minute in all."""
        deadline = time.monotonic() + BODY_SECONDS
        parts, missing = [], length
        while missing > 0:
            part = self.rfile.read1(min(missing, 2**18))
            if not part:
                raise ConnectionResetError("the body ended early")
            parts.append(part)
            missing -= len(part)
            if missing > 0 and time.monotonic() > deadline:
                raise TimeoutError("the body took too long")
        return b"".join(parts)

    def log_message(self, *_: Any) -> None:
        """Requests are not logged; what they led to is."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, config: Any, store: Store):
        self.token = config.token
        self.pages = Pages(config, store)
        self.bodies = threading.Semaphore(BODIES_MAX)
        self._connections = threading.Semaphore(CONNECTIONS_MAX)
        super().__init__((config.host, config.port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a connection that ended early there is nothing to tell."""
