"""The line to a loopback exchange: HTTP as the venue speaks it, a record of all that was asked, and faults.

A server runs in a thread of the test, on a port of its own; point ``EXCHANGE_GATEWAY`` at its ``url``. What
it answers is up to ``answer`` of the exchange; what goes wrong with the answer is up to ``fault``.
"""

import copy
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Seen:
    """One request as it came: `host` is the venue's own, which the gateway keeps in the path."""

    method: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    body: str

    @property
    def params(self) -> dict[str, str]:
        """Query and form parameters together."""
        return dict(parse_qsl(self.query, keep_blank_values=True)) | (
            {} if self.body.startswith("{") else dict(parse_qsl(self.body, keep_blank_values=True))
        )

    @property
    def json(self) -> dict[str, Any]:
        """The body of a JSON request."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What is sent back."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The body as it goes over the line."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body, separators=(",", ":"))


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose text holds `where`.

    kind: "drop" (never arrives), "cut", "half", "nonsense", "timeout" (carried out, no usable answer),
    "status" (carried out, answered with `status`), "refuse" (not carried out, answered with `status` and
    `body`), "forget" (answered, and never happened), "slow" (carried out, answered when `released`)
    """

    kind: str
    where: str = ""
    times: int = 1
    status: int = 503
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)


class LoopbackExchange:
    """An exchange on loopback. Subclasses keep their books in `books` and answer in `answer`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.books: Any = self.books_new()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def books_new(self) -> Any:
        """Return empty books."""
        raise NotImplementedError

    def answer(self, seen: Seen) -> Answer:
        """Carry out one request."""
        raise NotImplementedError

    def reset(self) -> None:
        """Begin anew: empty books, nothing asked, no faults."""
        with self.lock:
            for fault in self.faults:
                fault.released.set()
            self.books, self.seen, self.faults = self.books_new(), [], []

    def fault(self, kind: str, *, where: str = "", **more: Any) -> Fault:
        """Let something go wrong from now on; return the fault, to release a slow one."""
        fault = Fault(kind=kind, where=where, **more)
        with self.lock:
            self.faults.append(fault)
        return fault

    def asked(self, where: str = "") -> list[Seen]:
        """Return the requests whose text holds `where`, in the order in which they came."""
        with self.lock:
            return [seen for seen in self.seen if where in _text(seen)]

    def stop(self) -> None:
        """End the server and give back its port."""
        self.reset()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, seen: Seen) -> tuple[Answer | None, Fault | None]:
        """Carry out a request under the fault that stands, if any; no answer: cut the line."""
        with self.lock:
            self.seen.append(seen)
            fault = next((fault for fault in self.faults if fault.where in _text(seen)), None)
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
            if fault is None:
                return self.answer(seen), None
            if fault.kind == "drop":
                return None, fault
            if fault.kind == "refuse":
                return Answer(fault.body or "{}", fault.status, fault.headers), fault
            if fault.kind == "forget":
                kept = copy.deepcopy(self.books)
                answer = self.answer(seen)
                self.books = kept
                return answer, fault
            answer = self.answer(seen)
            if fault.kind == "status":
                answer = Answer(fault.body or "{}", fault.status, fault.headers)
            if fault.kind == "nonsense":
                answer = Answer("<html>busy</html>")
            return (None if fault.kind == "cut" else answer), fault


def _text(seen: Seen) -> str:
    return f"{seen.method} {seen.host}{seen.path}?{seen.query} {seen.body}"


def _handler(exchange: LoopbackExchange) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            url = urlsplit(self.path)
            host, _, path = url.path.lstrip("/").partition("/")
            seen = Seen(
                method=self.command,
                host=host,
                path=f"/{path}",
                query=url.query,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length).decode(),
            )
            answer, fault = exchange.take(seen)
            if fault is not None and fault.kind in {"slow", "timeout"}:
                fault.released.wait(timeout=20)
            if answer is None or (fault is not None and fault.kind == "timeout"):
                self._cut()
                return
            body = answer.text().encode()
            self.send_response(answer.status)
            for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = fault is not None and fault.kind == "half"
            try:
                self.wfile.write(body[: len(body) // 2] if half else body)
            except OSError:
                half = True  # the client has gone meanwhile, which is what its timeout is for
            if half:
                self._cut()

        def _cut(self) -> None:
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the client was faster

        do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - the names the standard library calls

    return Handler
