"""The page of one position in a real Chromium: its chart, live, stale, closed (VIEW-3, MKT-2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.fixture_server import FixtureServer
from tests.journeys.fixture_view import iso

Opener = Callable[..., Any]
_INK = """() => {
  let drawn = 0;
  for (const canvas of document.querySelectorAll("#candles canvas")) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 3; at < data.length; at += 4) if (data[at]) drawn += 1;
  }
  return drawn;
}"""


def _open(open_page: Opener, server: FixtureServer, **options: Any) -> Page:
    page: Page = open_page(f"{server.url}/portfolios/1/positions/1/", **options)
    expect(page.locator("#candles")).to_have_attribute("data-state", "chart")
    expect(page.locator("#candles canvas").first).to_be_visible()
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_chart_is_drawn_in_both_themes(open_page: Opener, fixture_server: FixtureServer, theme: str) -> None:
    """VIEW-4: candles, the lines of the levels and their names, the note that prices are interpolated."""
    page = _open(open_page, fixture_server, color_scheme=theme)
    page.wait_for_function(f"({_INK})() > 2000")
    names = page.locator("#candles [data-key] li > span")
    expect(names).to_have_text(["Entry", "Stop", "Trail", "Best", "Target"])
    expect(page.locator("#candles [data-key]")).to_contain_text("107,310.0")
    expect(page.locator("#candles [data-note]")).to_have_text(
        "Prices between two recorded trades are interpolated"
    )
    expect(page.locator("#candles [data-chart]")).to_have_attribute("aria-label", re.compile("entry 107,310"))
    expect(page.get_by_role("link", name="TradingView Lightweight Charts")).to_be_visible()
    assert page.locator("#candles a").count() == 0  # the logo would be one, with a style of its own
    expect(page.locator("[data-rail] .rail-mark")).to_have_attribute("d", re.compile("^M"))
    switched = page.evaluate(_INK)
    page.get_by_role("button", name="Switch theme").first.click()
    page.wait_for_function(f"({_INK})() > {switched // 2}")


def test_marks_move_the_last_candle_and_levels_move_their_lines(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """VIEW-2: news over the socket are drawn at once, without asking for candles again."""
    page = _open(open_page, fixture_server)
    place = fixture_server.view["positions"]["1"]
    exits = place["exits"] | {"stop": "99000", "trail": "105000.5"}
    change = {"positions": {"1": place | {"mark_price": "108888", "exits": exits, "mark_stale": True}}}
    fixture_server.change({"set": change, "drop": {}})
    expect(page.locator("#candles [data-mark]")).to_have_text("108,888.0")
    expect(page.locator("#candles [data-mark]")).to_have_class("candles-mark stale")
    expect(page.locator("#candles [data-key]")).to_contain_text("105,000.5")
    expect(page.locator("#candles [data-key]")).to_contain_text("99,000.0")


def test_candles_after_a_price(open_page: Opener, fixture_server: FixtureServer) -> None:
    """MKT-2: the forming candle moves, the next one begins on time, a gap is left to the next fetch."""
    page = _open(open_page, fixture_server)
    results = page.evaluate(
        """async () => {
          const { candlesAfter, mergeCandles, fillMarks } = await import("/static/js/candle_chart.js");
          const known = [{ time: 600, open: 10, high: 12, low: 9, close: 11 }];
          const fetched = [{ time: 600, open: 10, high: 15, low: 9, close: 14 }];
          const fills = [
            { at: 599, side: "BUY", quantity: "1", price: "9" },
            { at: 899, side: "SELL", quantity: "0.50", price: "12" },
          ];
          return [
            candlesAfter(known, 13, 899.9), candlesAfter(known, 13, 900), candlesAfter(known, 13, 1200),
            candlesAfter(known, 13, 599),
            mergeCandles([...known, { time: 900 }], fetched), mergeCandles(known, []),
            fillMarks(fills, known, 2).map(({ time, text }) => [time, text]),
          ];
        }"""
    )
    known = {"time": 600, "open": 10, "high": 12, "low": 9, "close": 11}
    assert results[0] == [known | {"high": 13, "close": 13}]
    assert results[1] == [known, {"time": 900, "open": 13, "high": 13, "low": 13, "close": 13}]
    assert results[2] == results[3] == [known]
    assert results[4] == [{"time": 600, "open": 10, "high": 15, "low": 9, "close": 14}, {"time": 900}]
    assert results[5] == [known]
    assert results[6] == [[600, "Sold 0.5 at 12.00"]]


def test_new_candles_are_fetched_from_the_last_closed_one(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """MKT-2: a fast world closes candles faster than marks tell; the page asks for what it lacks."""
    page = _open(open_page, fixture_server)
    rows = fixture_server.candles["candles"]
    with page.expect_response("**/candles.json?since=*", timeout=15_000):
        pass
    assert fixture_server.candles_asked[0] is None
    assert fixture_server.candles_asked[1] in {rows[-2][0], rows[-1][0]}


def test_a_failure_is_said_and_can_be_tried_again(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-4: the error state of the chart, and the way out of it."""
    fixture_server.history_status = 500
    page = open_page(f"{fixture_server.url}/portfolios/1/positions/1/", forgiven="status of 500")
    expect(page.get_by_role("heading", name="The candles did not load")).to_be_visible()
    fixture_server.history_status = 200
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#candles canvas").first).to_be_visible()


def test_a_position_of_an_earlier_run_and_a_closed_one(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """EXE-7: what is over says so; there is nothing to ask of it."""
    fixture_server.candles |= {"candles": [], "of_this_run": False}
    page = open_page(f"{fixture_server.url}/portfolios/1/positions/77/")
    expect(page.locator("#candles [data-empty]")).to_have_text(
        "It belongs to an earlier run of the replay, whose prices are over."
    )
    expect(page.get_by_role("button", name="Exits")).to_have_count(0)
    expect(page.get_by_text("It is closed.")).to_be_visible()


def test_position_page_fits_a_phone(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-4: 390 px wide; the row of the portfolio leads here."""
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(f"{fixture_server.url}/portfolios/1/", **phone)
    page.locator("#pos-1").get_by_role("link", name="BTC").click()
    expect(page.locator("#candles canvas").first).to_be_visible()
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths == [390, 390]


def test_exits_are_edited_from_the_page(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-3: the same dialog as in the row."""
    page = _open(open_page, fixture_server)
    page.get_by_role("button", name="Exits", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Exits for BTC long")
    held = iso(
        datetime.fromisoformat(fixture_server.view["positions"]["1"]["opened_at"]) + timedelta(days=14)
    )
    assert fixture_server.view["positions"]["1"]["exits"]["time_stop_at"] == held
