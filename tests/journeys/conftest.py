"""A page of the fixture server in a real Chromium; whatever the page complains about fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.journeys.fixture_server import FixtureServer


@pytest.fixture
def fixture_server() -> Iterator[FixtureServer]:
    """A server of one made-up portfolio."""
    server = FixtureServer().start()
    yield server
    server.stop()


@pytest.fixture
def open_page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Return a function: address, context options → an open page. Errors on it fail the test at its end."""
    if "fixture_server" in request.fixturenames:
        request.getfixturevalue("fixture_server")  # so that pages are closed before it stops answering
    contexts, complaints = [], []

    def opened(address: str, *, forgiven: str = "nothing is", **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and forgiven not in message.text
                else None
            ),
        )
        page.goto(address, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
