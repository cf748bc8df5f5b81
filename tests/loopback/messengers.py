"""Services that take messages, on loopback: Telegram, Slack, Discord, a webhook's receiver, a mail server.

The answers are those of each service's documentation; ``script`` says what is answered instead.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

TELEGRAM_OK = {
    "ok": True,
    "result": {
        "message_id": 7,
        "from": {"id": 123456789, "is_bot": True, "first_name": "Ensemble"},
        "chat": {"id": 987654321, "type": "private"},
        "date": 1700000000,
        "text": "…",
    },
}
TELEGRAM_429 = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 5"}
DISCORD_429 = {"message": "You are being rate limited.", "retry_after": 0.5, "global": False}


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))


@dataclass
class Messengers:
    """The running server: what came, and what is answered."""

    port: int
    received: list[Received] = field(default_factory=list)
    script: list[tuple[int, Any]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer_with(self, status: int, body: Any = "", *, times: int = 1) -> None:
        """Answer the next requests so; what follows is taken again."""
        self.script += [(status, body)] * times

    def answer_to(self, path: str) -> tuple[int, Any]:
        if self.script:
            return self.script.pop(0)
        if path.startswith("/bot"):
            return 200, TELEGRAM_OK
        if path.startswith("/services/"):
            return 200, "ok"
        if path.startswith("/api/webhooks/"):
            return 204, ""
        return 200, "taken"


@contextmanager
def messengers_running() -> Iterator[Messengers]:
    """Run the HTTP services on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            told.hold.wait(30)
            status, answer = told.answer_to(self.path)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{told.url}/elsewhere")
            self.send_header(
                "Content-Type", "application/json" if not isinstance(answer, str) else "text/html"
            )
            if status != 204:
                self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            if status != 204:
                self.wfile.write(text.encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: Any) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A sender that was killed leaves its connection; that is no fault of ours."""

    with Server(("127.0.0.1", 0), Handler) as server:
        told = Messengers(port=server.server_port)
        told.hold.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.hold.set()
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """The running mail server and the mails it took."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    refuse: bool = False


@contextmanager
def mail_server_running() -> Iterator[MailServer]:
    """Run a mail server (RFC 5321, as much as a client needs) on a free port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 loopback")
            while line := self.rfile.readline():
                verb = line.split(b" ")[0].strip().upper()
                if verb == b"DATA":
                    self._say("354 go on")
                    lines = []
                    while (text := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(text.removeprefix(b"."))
                    mail = message_from_bytes(b"".join(lines), policy=policy.default)
                    told.mails.append(cast("EmailMessage", mail))
                    self._say("250 taken")
                elif verb == b"QUIT":
                    self._say("221 bye")
                    return
                elif verb == b"RCPT" and told.refuse:
                    self._say("550 no such mailbox")
                else:
                    self._say("250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        told = MailServer(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
