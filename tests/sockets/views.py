"""Small made-up views, and a page that keeps one by the rules of the socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from core.events import KEYED_SECTIONS, RECORD_SECTIONS, PortfolioView, view_apply


def view_make(*, equity: str = "10000", world: str | None = None, **keyed: dict[str, Any]) -> PortfolioView:
    """Return a view with the given equity, world and keyed sections."""
    view: PortfolioView = {section: {} for section in RECORD_SECTIONS}
    view["portfolio"] = {"id": 7, "world": world}
    view["kpis"] = {"equity": equity}
    for section in KEYED_SECTIONS:
        view[section] = keyed.get(section, {})
    return view


class FakeReader:
    """Stands in for the database: hands out ``view``, counts reads, and can be told to fail or to wait."""

    def __init__(self, view: PortfolioView) -> None:
        self.view = view
        self.reads: Counter[str] = Counter()
        self.error: Exception | None = None
        self.before_read: Callable[[], None] = lambda: None

    def __call__(self, user: Any, portfolio_id: int, look: str, last: Any) -> tuple[object, PortfolioView]:
        assert last is not None or look == "all"
        self.reads[look] += 1
        self.before_read()
        if self.error is not None:
            raise self.error
        return object(), self.view


class Page:
    """What a browser would hold: the view after every message, checked like ``static/js/socket.js``."""

    def __init__(self) -> None:
        self.view: PortfolioView | None = None
        self.epoch: str | None = None
        self.seq: int | None = None
        self.stale_since: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.gaps = 0

    def take(self, text: str) -> dict[str, Any]:
        """Apply one message and return it."""
        message: dict[str, Any] = json.loads(text)
        self.messages.append(message)
        if message["type"] == "snapshot":
            self.view, self.epoch, self.seq = message["view"], message["epoch"], message["seq"]
            self.stale_since = None
        elif message["type"] == "change":
            if message["epoch"] != self.epoch or self.seq is None or message["seq"] != self.seq + 1:
                self.gaps += 1
            else:
                assert self.view is not None
                self.view, self.seq = view_apply(self.view, message), message["seq"]
        elif message["type"] == "stale":
            self.stale_since = message["since"]
        return message
