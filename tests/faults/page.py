"""A page without a browser: signs in over HTTP, listens on the socket, keeps the view as the page does."""

from __future__ import annotations

import http.cookiejar
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from core.events import PortfolioView, view_apply
from tests.faults.site import Site


class Page:
    """One open page of a portfolio."""

    def __init__(self, *, site: Site, portfolio_id: int) -> None:
        self._site = site
        self._portfolio_id = portfolio_id
        self._socket: ClientConnection
        self._closing = ExitStack()
        self._snapshots: list[int] = []
        self.view: PortfolioView = {}
        self.epoch, self.seq = "", -1
        self.stale = False
        self.changes: list[float] = []  # when they came, on the monotonic clock

    def __enter__(self) -> Self:
        cookies = sign_in(self._site)
        opened = connect(
            f"ws://127.0.0.1:{self._site.port}/ws/portfolios/{self._portfolio_id}/",
            origin=self._site.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookies},
            max_size=None,
            max_queue=None,  # a full queue would hold up the pong behind what nobody has read
        )
        self._socket = self._closing.enter_context(opened)
        self.listen_until(lambda: bool(self.view), timeout_s=15, what="a first snapshot")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def listen_until(self, condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Take in messages until a condition holds.

        :raises AssertionError: it stayed false for ``timeout_s``, or a message did not fit
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{what} did not come within {timeout_s:.0f} s"
            try:
                self._take(json.loads(self._socket.recv(timeout=min(left_s, 0.5))))
            except TimeoutError:
                continue

    def changes_since(self, moment_s: float) -> int:
        """Return how many changes came after a moment of the monotonic clock."""
        return sum(came_s > moment_s for came_s in self.changes)

    def resync(self) -> PortfolioView:
        """Ask for the whole view; it must equal what the changes have made of the old one.

        A snapshot replaces the changes that wait to be sent, so it may be ahead of us: then it is taken over,
        and asked for again.
        """
        for _ in range(20):
            self._snapshots.clear()
            self._socket.send(json.dumps({"type": "resync"}))
            while not self._snapshots:
                kept, stood_at = self.view, (self.epoch, self.seq)
                self._take(json.loads(self._socket.recv(timeout=10)))
            if (self.epoch, self.seq) == stood_at:
                assert self.view == kept, "old snapshot + changes = fresh snapshot"
                return self.view
        raise AssertionError("no snapshot ever stood where the changes stood")

    def _take(self, message: Any) -> None:
        match message["type"]:
            case "snapshot":
                self._snapshot_take(message)
            case "change":
                assert (message["epoch"], message["seq"]) == (self.epoch, self.seq + 1), "a change is missing"
                self.view, self.seq = view_apply(self.view, message), message["seq"]  # type: ignore[arg-type]
                self.changes.append(time.monotonic())
            case "stale":
                self.stale = True
            case other:
                raise AssertionError(f"unexpected message {other}")

    def _snapshot_take(self, message: Any) -> None:
        self.view, self.epoch, self.seq = message["view"], message["epoch"], message["seq"]
        self.stale = False
        self._snapshots.append(self.seq)


def sign_in(site: Site) -> str:
    """Sign the demo person in through the form; return the cookies as a header."""
    email, password = (site.var_dir / "demo_sign_in.txt").read_text().strip().split(" / ")
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    address = f"{site.url}/accounts/login/"
    with browser.open(address, timeout=15) as answer:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.read().decode())
    assert token is not None
    form = {"login": email, "password": password, "csrfmiddlewaretoken": token.group(1)}
    request = urllib.request.Request(  # noqa: S310 - our own loopback server
        address, urllib.parse.urlencode(form).encode(), {"Referer": address}
    )
    with browser.open(request, timeout=15) as answer:
        assert answer.status == 200
    cookies = {cookie.name: cookie.value for cookie in jar}
    assert "sessionid" in cookies, "the demo person was not let in"
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
