"""The live page in Polish: words, numbers, times of Warsaw, and changes that arrive in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.journeys.fixture_server import FixtureServer

Opener = Callable[..., Any]
CLOCK = """async () => {
  const { clock, fullMinute } = await import("/static/js/format.js");
  return [clock("2026-03-29T00:59:59Z"), clock("2026-03-29T01:00:00Z"), clock("2026-10-25T00:59:59Z"),
    clock("2026-10-25T01:00:00Z"), fullMinute("2026-11-21T13:05:00Z"), fullMinute("2020-06-30T22:30:00Z")];
}"""
TYPED = """async () => {
  const { plain, typeable } = await import("/static/js/typed.js");
  const read = ["1,5", "1.5", "1 234,5", "0,234", "1,234", "61.125", "abc"].map(plain);
  return [read, typeable("61.125"), plain(typeable("61.125")), typeable("12.5")];
}"""


@pytest.fixture
def polish(fixture_server: FixtureServer) -> FixtureServer:
    """The server of a person who reads Polish in Warsaw."""
    fixture_server.language, fixture_server.zone = "pl", "Europe/Warsaw"
    return fixture_server


def test_the_page_lives_on_in_polish(open_page: Opener, polish: FixtureServer) -> None:
    """VIEW-4: what the server drew, what the browser draws, and what the socket brings."""
    polish.view["kpis"] |= {"equity": "10843.2751", "day_pnl": "-137.38", "day_pnl_pct": "-1.18"}
    page = open_page(f"{polish.url}/portfolios/1/")
    expect(page.locator("#connection")).to_contain_text("Na żywo")
    expect(page.locator("html")).to_have_attribute("lang", "pl")
    expect(page.locator("#kpi-equity")).to_have_text("10\u202f843,28\u00a0$")
    expect(page.locator("#kpi-day")).to_have_text("\u2212137,38\u00a0$")
    expect(page.locator("#kpi-day-note")).to_have_text("\u22121,18% od 00:00 UTC")
    expect(page.locator("footer")).to_contain_text("wszystkie czasy: Europe/Warsaw")
    story = {
        **next(iter(polish.view["activity"].values())),
        "text": "Waiting for capital for BTC",
        "detail": "",
    }
    story |= {"id": "new", "at": "2099-01-01T00:00:00Z", "kind": "capped"}
    kpis = {**polish.view["kpis"], "equity": "9999.5"}
    polish.change({"set": {"kpis": kpis, "activity": {"new": story}}, "drop": {}})
    expect(page.locator("#kpi-equity")).to_have_text("9\u202f999,50\u00a0$")
    expect(page.locator("#activity li").first).to_contain_text("Czeka na kapitał dla BTC")


def test_clocks_are_right_on_both_sides_of_both_switches(open_page: Opener, polish: FixtureServer) -> None:
    """Warsaw skips an hour in March and has one twice in October; 2020 is in the table, too."""
    page = open_page(f"{polish.url}/portfolios/1/")
    assert page.evaluate(CLOCK) == [
        "01:59:59", "03:00:00", "02:59:59", "02:00:00", "21 lis 2026 14:05", "1 lip 2020 00:30",
    ]  # fmt: skip


def test_typed_numbers_are_read_as_the_server_reads_them(open_page: Opener, polish: FixtureServer) -> None:
    """What could mean two numbers is left in a form the server refuses."""
    page = open_page(f"{polish.url}/portfolios/1/")
    read, shown, again, plain = page.evaluate(TYPED)
    assert read == ["1.5", "1.5", "1234.5", "0.234", "1,234", "61,125", "abc"]
    assert (shown, again, plain) == ("61,1250", "61.1250", "12,5")


@pytest.mark.parametrize("width", [390, 1024])
def test_longer_words_do_not_push_the_page_aside(
    open_page: Opener, polish: FixtureServer, width: int
) -> None:
    """Polish is a fifth longer than English; nothing scrolls sideways and no button is cut."""
    for path in ("", "traders/"):
        page = open_page(f"{polish.url}/portfolios/1/{path}", viewport={"width": width, "height": 844})
        expect(page.locator("#connection")).to_contain_text("Na żywo")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
        cut = page.evaluate(
            "[...document.querySelectorAll('.btn, .seg button, .nav a')]"
            ".filter((node) => node.offsetParent && node.scrollWidth > node.clientWidth + 1)"
            ".map((node) => node.textContent.trim())"
        )
        assert cut == [], path
