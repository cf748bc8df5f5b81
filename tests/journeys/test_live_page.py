"""The live page over made-up views: what it shows, and that it stays what the server says (VIEW-1, 2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from playwright.sync_api import expect

from core.events import view_apply, view_diff
from tests.journeys.fixture_server import FixtureServer, view_now
from tests.journeys.fixture_view import change_make, view_make
from tests.running import wait_until

Opener = Callable[..., Any]
# Text, classes and geometry of every region; ages and the flash of a change are left out.
REGIONS = """() => {
  const ids = ["conflicts", "positions", "traders", "activity", "orders", "portfolio-name", "portfolio-summary"];
  const shown = {};
  for (const root of [...ids.map((id) => document.getElementById(id)), document.querySelector(".kpis"), document.getElementById("capital-bar")]) {
    const copy = root.cloneNode(true);
    for (const node of copy.querySelectorAll("[data-slot=sync], [data-slot=expiry], [data-slot=held]")) node.remove();
    for (const node of [copy, ...copy.querySelectorAll("*")]) for (const name of ["data-flash", "data-key"]) node.removeAttribute(name);
    for (const node of copy.querySelectorAll("[class='']")) node.removeAttribute("class");
    shown[root.id || "kpis"] = copy.outerHTML;
  }
  return shown;
}"""  # noqa: E501


def _live(page: Any) -> None:
    expect(page.locator("#connection")).to_contain_text("Live")


def _portfolio(open_page: Opener, server: FixtureServer, **options: Any) -> Any:
    page = open_page(f"{server.url}/portfolios/1/", **options)
    _live(page)
    return page


def test_page_shows_the_view(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-1: figures, positions with signed shares, conflicts, capital, orders, traders, activity."""
    view = fixture_server.view
    view["kpis"] |= {
        "equity": "10843.2751",
        "day_pnl": "-137.38",
        "day_pnl_pct": "-1.18",
        "win_rate_pct": "58.33",
    }
    view["positions"]["3"]["slices"][-1]["share_pct"] = "-22.40"
    page = _portfolio(open_page, fixture_server)
    expect(page.locator("#kpi-equity")).to_have_text("$10,843.28")
    expect(page.locator("#kpi-day")).to_have_text("\u2212$137.38")
    expect(page.locator("#kpi-day-note")).to_have_text("\u22121.18% since 00:00 UTC")
    assert "down" in page.locator(".kpi-value:has(#kpi-day)").get_attribute("class")
    expect(page.locator("#kpi-win")).to_have_text("58.3%")
    expect(page.locator("#positions > tr")).to_have_count(6)
    expect(page.locator("#pos-3 [data-slot=traders]")).to_contain_text("\u221222%")
    expect(page.locator("#pos-3 [data-slot=side]")).to_have_text("Short")
    expect(page.locator("#conflicts > li")).to_have_count(3)
    expect(page.locator("#conflict-3 [data-slot=why]")).to_contain_text("overruled")
    expect(page.locator("#capital-bar")).to_have_attribute("aria-label", _capital_words(view))
    expect(page.locator("#orders > li")).to_have_count(2)
    expect(page.locator("#traders > li")).to_have_count(4)
    expect(page.locator("#activity > li")).to_have_count(30)
    expect(page.locator("#world")).to_contain_text("600\u00d7")
    expect(page.locator("#world")).to_contain_text("interpolated")
    expect(page.locator(".topbar .mode")).to_have_text("Execution mode: Paper")


def _capital_words(view: dict[str, Any]) -> str:
    capital = view["capital"]
    parts = ", ".join(
        f"{name} ${float(capital[name]):,.2f}" for name in ("deployed", "committed", "reserved", "free")
    )
    return f"Capital of ${float(capital['total']):,.2f}: {parts}"


@pytest.mark.parametrize("seed", range(3))
def test_page_after_changes_equals_a_fresh_page(
    open_page: Opener, fixture_server: FixtureServer, seed: int
) -> None:
    """VIEW-2: old snapshot + changes = fresh snapshot, down to the markup."""
    page = _portfolio(open_page, fixture_server)
    random = Random(seed)
    for step in range(12):
        after = _mutated(random, fixture_server.view, step)
        fixture_server.change(view_diff(fixture_server.view, after))
    fixture_server.change({"set": {"kpis": fixture_server.view["kpis"] | {"equity": "77777.77"}}, "drop": {}})
    expect(page.locator("#kpi-equity")).to_have_text("$77,777.77")
    fresh = _portfolio(open_page, fixture_server)
    assert page.evaluate(REGIONS) == fresh.evaluate(REGIONS)


def _mutated(random: Random, view: dict[str, Any], step: int) -> dict[str, Any]:
    """The view after entities came, went and changed."""
    other = view_now(traders=4, positions=8, seed=1000 + step)
    after = json.loads(json.dumps(view_apply(view, change_make(view=view, count=3, seed=step))))
    for section in ("positions", "conflicts", "orders", "activity"):
        for key in list(after[section]):
            if random.random() < 0.25:
                del after[section][key]
        for key, entity in other[section].items():
            if random.random() < 0.3:
                after[section][key] = entity
    after["capital"] |= {"free": f"{5000 + step}.14", "reserved": f"{412 - step}.50"}
    return after


def test_state_js_is_the_twin_of_events_py(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: the browser applies a change exactly as the server does."""
    page = _portfolio(open_page, fixture_server)
    random = Random(5)
    view: dict[str, Any] = view_make(traders=3, positions=4)
    cases = []
    for step in range(25):
        after = _mutated(random, view, step)
        cases.append(
            {"old": view, "change": view_diff(view, after), "new": view_apply(view, view_diff(view, after))}
        )
        assert cases[-1]["new"] == after
        view = after
    results = page.evaluate(
        """async (cases) => {
          const { apply, difference } = await import("/static/js/state.js");
          return cases.map(({ old, change }) => {
            const again = JSON.parse(JSON.stringify(old)), fresh = apply(old, change);
            return [fresh, apply(again, difference(again, fresh))];
          });
        }""",
        cases,
    )
    assert results == [[case["new"], case["new"]] for case in cases]


def test_gap_asks_for_a_snapshot(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: a lost change is noticed at the next one and repaired without a person."""
    page = _portfolio(open_page, fixture_server)
    kpis = fixture_server.view["kpis"]
    fixture_server.change(
        {"set": {"kpis": kpis | {"equity": "1.00"}}, "drop": {"positions": ["2"]}}, lost=True
    )
    expect(page.locator("#positions > tr")).to_have_count(6)
    assert "resync" not in fixture_server.asked
    fixture_server.change({"set": {"kpis": kpis | {"equity": "2.00"}}, "drop": {}})
    expect(page.locator("#kpi-equity")).to_have_text("$2.00")
    expect(page.locator("#positions > tr")).to_have_count(5)
    assert fixture_server.asked.count("resync") == 1


def test_another_epoch_asks_for_a_snapshot(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: numbers of a restarted server are not taken for the old ones."""
    page = _portfolio(open_page, fixture_server)
    fixture_server.restart()
    fixture_server.change({"set": {"kpis": fixture_server.view["kpis"] | {"equity": "3.00"}}, "drop": {}})
    expect(page.locator("#kpi-equity")).to_have_text("$3.00")
    assert fixture_server.asked.count("resync") == 1


def test_cut_connection_is_said_and_comes_back(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: reconnecting, stale since when; then live with what happened meanwhile."""
    page = _portfolio(open_page, fixture_server, forgiven="WebSocket connection to")
    fixture_server.accepting = False
    fixture_server.cut()
    expect(page.locator("#connection")).to_contain_text("Reconnecting")
    expect(page.locator("#connection")).to_contain_text("stale since")
    expect(page.locator("#main")).to_have_class("page is-stale")
    expect(page.locator("#banner-connection")).to_be_visible()
    fixture_server.change({"set": {"kpis": fixture_server.view["kpis"] | {"equity": "4.00"}}, "drop": {}})
    fixture_server.accepting = True
    page.locator("#reconnect-now").dispatch_event("click")  # harmless where it has come back by itself
    _live(page)
    expect(page.locator("#kpi-equity")).to_have_text("$4.00")
    expect(page.locator("#main")).to_have_class("page")
    expect(page.locator("#banner-connection")).to_be_hidden()


def test_silent_connection_is_given_up(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: a half-open connection, which no close ever reports, is replaced."""
    page = open_page(f"{fixture_server.url}/portfolios/1/")
    _live(page)
    fixture_server.silent = True
    wait_until(lambda: fixture_server.connections == 2, timeout_s=30, what="a second connection")
    fixture_server.silent = False
    _live(page)
    assert fixture_server.asked == ["ping"]


@pytest.mark.parametrize(("code", "words"), [(4401, "You are signed out"), (4404, "not available any more")])
def test_refused_socket_says_why(
    open_page: Opener, fixture_server: FixtureServer, code: int, words: str
) -> None:
    """VIEW-2: signed out and not yours are final; the page does not knock for ever."""
    fixture_server.close_code = code
    page = open_page(f"{fixture_server.url}/portfolios/1/")
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    expect(page.locator("#main")).to_have_class("page is-stale")


def test_server_that_cannot_read_its_books_is_said(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: the socket stands but the view does not move; the page says since when."""
    page = _portfolio(open_page, fixture_server)
    fixture_server.send({"type": "stale", "since": "2026-03-02T14:01:53Z"})
    expect(page.locator("#connection")).to_contain_text("Stalesince 14:01:53")
    expect(page.locator("#banner-books")).to_contain_text("14:01:53")
    fixture_server.snapshot()
    _live(page)
    expect(page.locator("#banner-books")).to_be_hidden()


def test_stale_prices_and_failing_traders_are_said(open_page: Opener, fixture_server: FixtureServer) -> None:
    """MKT-1, SYN-4: stale marks and degraded traders show as words, not as colour alone."""
    page = _portfolio(open_page, fixture_server)
    view = fixture_server.view
    trader = view["traders"]["2"] | {"sync_status": "degraded", "error": "answered 500", "next_sync_at": None}
    place = view["positions"]["1"] | {"mark_stale": True}
    health = view["health"] | {"marks_stale": True, "traders_degraded": 1}
    fixture_server.change(
        {"set": {"health": health, "traders": {"2": trader}, "positions": {"1": place}}, "drop": {}}
    )
    expect(page.locator("#banner-marks")).to_contain_text("Prices are stale")
    expect(page.locator("#banner-traders")).to_contain_text("1 trader cannot be read")
    expect(page.locator("#trader-2 [data-slot=sync]")).to_have_text("Failed, retrying")
    expect(page.locator("#trader-2 [data-slot=sync]")).to_have_attribute("title", "answered 500")
    expect(page.locator("#pos-1 [data-slot=age]")).to_have_text("stale")


def test_empty_portfolio_has_words_for_every_region(open_page: Opener) -> None:
    """VIEW-1: nothing is ever a blank panel."""
    view = view_now(traders=0, positions=0)
    view |= {"orders": {}, "activity": {}, "conflicts": {}}
    server = FixtureServer(view=view).start()
    server.history["points"] = []
    page = _portfolio(open_page, server)
    for words in ("No positions yet", "No conflicts", "Nobody is followed", "Nothing here", "No history yet"):
        expect(page.get_by_role("heading", name=words)).to_be_visible()
    expect(page.get_by_text("No order is working")).to_be_visible()
    server.stop()


def test_history_that_fails_can_be_tried_again(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-1: the error state of the chart, and the way out of it."""
    fixture_server.history_status = 500
    page = open_page(f"{fixture_server.url}/portfolios/1/", forgiven="status of 500")
    expect(page.get_by_role("heading", name="The history did not load")).to_be_visible()
    fixture_server.history_status = 200
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#equity-panel canvas").first).to_be_visible()
    expect(page.locator("[data-legend] button")).to_have_count(5)


def test_filters_units_and_slices(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-1: side and kind filters, a line per trader, each trader's part of a position; all by keyboard."""
    page = _portfolio(open_page, fixture_server)
    page.get_by_role("group", name="Side").get_by_role("button", name="Short").press("Enter")
    expect(page.locator("#positions > tr:visible")).to_have_count(2)
    page.get_by_role("group", name="Side").get_by_role("button", name="All").press("Enter")
    page.get_by_role("group", name="Kind").get_by_role("button", name="Conflicts").press("Enter")
    shown = page.locator("#activity > li:visible")
    expect(shown).to_have_count(3)
    more = page.get_by_role("button", name="Traders in ETH")
    more.press("Enter")
    expect(more).to_have_attribute("aria-expanded", "true")
    slices = fixture_server.view["positions"]["2"]["slices"]
    expect(page.locator("#slices-2 tbody tr")).to_have_count(len(slices))
    more.press("Enter")
    expect(page.locator("#slices-2")).to_have_count(0)
    line = page.locator("[data-legend] button").nth(1)
    line.press("Enter")
    expect(line).to_have_attribute("aria-pressed", "false")
    unit = page.get_by_role("group", name="Unit").get_by_role("button", name="$")
    unit.press("Enter")
    expect(unit).to_have_attribute("aria-pressed", "true")


def test_a_new_run_loads_the_history_anew(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: when a replay begins again, world time goes back and the chart starts over."""
    page = _portfolio(open_page, fixture_server)
    expect(page.locator("[data-legend] button")).to_have_count(5)
    view = fixture_server.view
    fixture_server.history |= {"run": 2, "points": view_points(3)}
    curve = view["curve"] | {"at": "2025-10-17T00:00:10Z", "run": 2}
    with page.expect_response("**/equity.json"):
        fixture_server.change(
            {"set": {"curve": curve, "portfolio": view["portfolio"] | {"run": 2}}, "drop": {}}
        )


def view_points(count: int) -> list[list[Any]]:
    """Three points at the start of a replay."""
    return [[1760659200 + at, "10000", "1"] for at in range(count)]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ["/portfolios/1/", "/portfolios/1/traders/"])
def test_phone_never_scrolls_sideways(
    open_page: Opener, fixture_server: FixtureServer, theme: str, address: str
) -> None:
    """VIEW-4: 390 px wide, both themes, navigation and mode in reach."""
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(f"{fixture_server.url}{address}", color_scheme=theme, **phone)
    _live(page)
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths == [390, 390]
    expect(page.get_by_role("navigation", name="Main")).to_be_in_viewport()
    expect(page.locator(".topbar .mode")).to_be_visible()


def test_theme_is_kept_for_the_next_page(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-4: the chosen theme is painted from the start, whatever the system prefers."""
    page = _portfolio(open_page, fixture_server, color_scheme="light")
    page.get_by_role("button", name="Switch theme").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "theme"] == ["dark"]
    page.evaluate("document.documentElement.removeAttribute('data-theme')")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(20, 24, 27)"


def test_traders_page_rows_and_remove_dialog(open_page: Opener, fixture_server: FixtureServer) -> None:
    """FOL-1: rows in order with actions; removing asks what becomes of the positions."""
    page = open_page(f"{fixture_server.url}/portfolios/1/traders/")
    _live(page)
    expect(page.locator("#followed > tr")).to_have_count(4)
    expect(page.locator("#allocation-total")).to_have_text("100.00%")
    expect(page.get_by_role("button", name="Move Qwen3 Max up")).to_be_disabled()
    paused = fixture_server.view["traders"]["2"] | {"follow_status": "paused", "weight_pct": "0.00"}
    fixture_server.change({"set": {"traders": {"2": paused}}, "drop": {}})
    expect(page.get_by_role("button", name="Resume DeepSeek V3.1")).to_be_visible()
    expect(page.get_by_role("button", name="Pause DeepSeek V3.1")).to_be_hidden()
    expect(page.locator("#allocation-bar rect")).to_have_count(3)
    page.get_by_role("button", name="Remove Claude Sonnet 4.5").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Hand them to me")
    expect(dialog.locator("form")).to_have_attribute("action", "/portfolios/1/traders/3/remove/")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
