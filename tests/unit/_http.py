"""A real HTTP server in a thread, that answers each path as it is told to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(body: bytes) -> Answer:
    """Answer with all of `body`."""
    return cut(body, len(body))


def cut(body: bytes, sent: int) -> Answer:
    """Promise all of `body`, send its first `sent` bytes and hang up."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:sent])

    return answer


def stalled(body: bytes, sent: int, seconds: float) -> Answer:
    """Send the first `sent` bytes of `body`, then nothing for so long."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        cut(body, sent)(request)
        request.wfile.flush()
        time.sleep(seconds)

    return answer


@contextlib.contextmanager
def serving(answers: dict[str, Answer]) -> Iterator[tuple[str, list[str]]]:
    """Serve `answers` by path, 404 for any other; gives the address and the paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path in answers:
                answers[self.path](self)
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that closing it waits for every answer to end

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
