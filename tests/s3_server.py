"""A local S3 server whose answers a test can hold back or refuse."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Application = Callable[..., Iterable[bytes]]
Decide = Callable[[str, str], int | None]


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Requests are no news."""


@dataclass
class S3Server:
    """Moto's S3 behind a gate.

    Attributes:
        puts: paths of the objects that were written, in order.
        decide: given method and path, says with which status a request is refused; it may wait.
    """

    port: int = 0
    puts: list[str] = field(default_factory=list)
    decide: Decide = lambda _method, _path: None

    @property
    def environment(self) -> dict[str, str]:
        """What clients find the server by."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "a secret of the tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def answer(
        self, application: Application, environ: Mapping[str, Any], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request, or refuse it."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if status := self.decide(method, path):
            start(f"{status} Refused", [("Content-Length", "0")])
            return []
        if method == "PUT":
            self.puts.append(path)
        return application(environ, start)


@contextmanager
def run_s3() -> Iterator[S3Server]:
    """Serve on loopback until the end of the block."""
    server = S3Server()
    application = DomainDispatcherApplication(create_backend_app)
    running = make_server(
        "127.0.0.1",
        0,
        lambda environ, start: server.answer(application, environ, start),
        threaded=True,
        request_handler=_Silent,
    )
    server.port = running.server_port
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
