"""The exit rail: its geometry as plain arithmetic, and what a row of the positions shows (EXT-1, VIEW-1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.journeys.fixture_server import FixtureServer, view_now

Opener = Callable[..., Any]

_RAILS = """async (positions) => {
  const { railOf, railPaths, railWords } = await import("/static/js/exit_rail.js");
  return positions.map((position) => {
    const rail = railOf(position);
    return rail && { ...railPaths(rail), words: railWords(rail, position) };
  });
}"""


def _position(**changed: Any) -> dict[str, Any]:
    exits = {
        "stop": "92",
        "first_stop": "92",
        "trail": None,
        "peak": "105",
        "steps": [{"price": "120", "fraction_pct": "100", "done": False}],
        "opened_at": "2026-01-01T00:00:00.000Z",
        "time_stop_at": None,
    }
    position: dict[str, Any] = {
        "side": "LONG",
        "entry_price": "100",
        "mark_price": "104",
        "mark_stale": False,
    }
    return position | {"exits": exits | changed.pop("exits", {})} | changed


def _rails(open_page: Opener, server: FixtureServer, *positions: dict[str, Any]) -> list[dict[str, Any]]:
    page = open_page(f"{server.url}/portfolios/1/")
    expect(page.locator("#positions > tr")).to_have_count(6)
    rails: list[dict[str, Any]] = page.evaluate(_RAILS, list(positions))
    return rails


def test_rail_of_a_gain(open_page: Opener, fixture_server: FixtureServer) -> None:
    """The axis runs from the stop at −8 % to the target at +20 %: 226 units for 28 points."""
    (rail,) = _rails(open_page, fixture_server, _position())
    assert rail["track"] == "M7 12H233"
    assert rail["entry"] == "M71.6 6v12"
    assert rail["gain"] == "M71.6 12H103.9"
    assert rail["mark"] == rail["halo"] == "M103.9 12h0"
    assert rail["peak"] == "M108.4 2h7l-3.5 5z"
    assert rail["stop"] == "M11 5h-4v14h4"
    assert rail["target"] == "M229 5h4v14h-4"
    assert (rail["loss"], rail["locked"], rail["ghost"]) == ("", "", "")
    assert (rail["words"]["stopAway"], rail["words"]["targetAway"]) == ("\u221211.5%", "+15.4%")
    assert rail["words"]["label"] == (
        "Stop 92.00 (11.5% away), entry 100.00, mark 104.00, peak 105.00, take-profit 120.00 (15.4% away)"
    )


def test_rail_of_a_short_is_its_mirror(open_page: Opener, fixture_server: FixtureServer) -> None:
    """A short at mirrored outcomes draws the very same rail."""
    exits = {
        "stop": "108",
        "first_stop": "108",
        "peak": "95",
        "steps": [{"price": "80", "fraction_pct": "100", "done": False}],
    }
    long, short = _rails(
        open_page, fixture_server, _position(), _position(side="SHORT", mark_price="96", exits=exits)
    )
    paths = ("track", "entry", "gain", "mark", "peak", "loss", "locked", "ghost")
    assert {part: short[part] for part in paths} == {part: long[part] for part in paths}
    assert "Stop 108.00 (12.5% away)" in short["words"]["label"]


def test_rail_that_trails_keeps_the_ghost_of_the_first_stop(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """A trailing stop above the entry locks a gain in; where the first stop stood stays in sight."""
    exits = {"trail": "110", "peak": "116", "steps": []}
    (rail,) = _rails(open_page, fixture_server, _position(mark_price="114", exits=exits))
    assert rail["ghost"] == "M10 7h-3v10h3"
    assert rail["stop"].endswith("m-.5-9.5 2.5 2.5-2.5 2.5")
    assert rail["gain"].startswith("M68.7 12H")
    assert rail["locked"].startswith("M68.7 12H")
    assert rail["target"] == ""
    assert rail["words"]["label"].startswith("Trailing stop 110.00 (3.5% away)")
    assert rail["words"]["label"].endswith("no take-profit, gain locked in")


def test_rail_in_a_loss_close_to_its_stop(open_page: Opener, fixture_server: FixtureServer) -> None:
    """Within 1 % of the price a stop is said to be close; a stale price is said to be stale."""
    (rail,) = _rails(open_page, fixture_server, _position(mark_price="92.5", mark_stale=True))
    assert rail["words"]["close"] is True
    assert rail["words"]["stopAway"] == "\u22120.5%"
    assert rail["gain"] == ""
    assert rail["loss"] == "M11 12H71.6"
    assert rail["words"]["label"].endswith("price is stale")


def test_rail_of_steps_and_of_nothing(open_page: Opener, fixture_server: FixtureServer) -> None:
    """Steps to come are ticks, the last one a bracket; a step that is done is gone. No guard, no rail."""
    steps = [
        {"price": "106", "fraction_pct": "50", "done": True},
        {"price": "110", "fraction_pct": "50", "done": False},
        {"price": "120", "fraction_pct": "100", "done": False},
        {"price": None, "fraction_pct": "100", "done": False},
    ]
    some, bare, none = _rails(
        open_page,
        fixture_server,
        _position(exits={"steps": steps}),
        _position(mark_price=None, exits={"stop": None, "first_stop": None, "steps": []}),
        _position() | {"exits": None},
    )
    assert some["target"] == "M152.3 7v10M229 5h4v14h-4"
    assert "take-profit 110.00 (5.8% away) for 50%" in some["words"]["label"]
    assert bare["words"]["label"] == "No stop, entry 100.00, mark unknown, peak 105.00, no take-profit"
    assert (bare["stop"], bare["mark"]) == ("", "")
    assert none is None


def test_row_shows_its_exits_and_moves_with_the_mark(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """VIEW-1: rail, levels and the time that is left stand in the row and follow the news."""
    page = open_page(f"{fixture_server.url}/portfolios/1/")
    row = page.locator("#pos-2")
    expect(row.locator(".exit-ends")).to_contain_text("Stop 3,538.50")
    expect(row.locator(".exit-ends")).to_contain_text("4,269.28 Target")
    expect(row.locator("[data-slot=heldOf]")).to_have_text("of 14 d")
    expect(page.locator("#pos-5 [data-slot=heldOf]")).to_have_text("")
    before = row.locator(".rail-mark").get_attribute("d")
    place = fixture_server.view["positions"]["2"]
    hit = {"kind": "stop_loss", "text": "Stop loss of ETH at 3,520.00", "status": "working"}
    fixture_server.change(
        {
            "set": {
                "positions": {"2": place | {"mark_price": "3520", "exits": place["exits"] | {"trigger": hit}}}
            },
            "drop": {},
        }
    )
    expect(row.locator(".exit .chip")).to_have_text("Stop loss is closing it")
    assert row.locator(".rail-mark").get_attribute("d") != before
    expect(row.locator(".rail")).to_have_attribute("aria-label", re.compile("mark 3,520.00"))
    fixture_server.change({"set": {"positions": {"2": place | {"exits": None}}}, "drop": {}})
    expect(row.locator(".exit .chip")).to_have_count(0)
    expect(row.locator(".exit-none")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_rail_needs_no_inline_style(open_page: Opener, fixture_server: FixtureServer, theme: str) -> None:
    """The strict policy: rails are attributes alone; the console, which the fixture watches, stays clean."""
    page = open_page(f"{fixture_server.url}/portfolios/1/", color_scheme=theme)
    expect(page.locator("#positions .rail")).to_have_count(6)
    assert page.locator("#positions [style]").count() == 0


def test_what_lies_below_the_fold_comes_after_the_first_paint(open_page: Opener) -> None:
    """VIEW-1: the first screen is drawn first, and everything stands soon after, in order."""
    server = FixtureServer(view=view_now(traders=10, positions=50)).start()
    page = open_page(f"{server.url}/portfolios/1/")
    expect(page.locator("#positions > tr")).to_have_count(50)
    expect(page.locator("#conflicts > li")).to_have_count(25)
    expect(page.locator("#activity > li")).to_have_count(30)
    order = page.evaluate("[...document.querySelectorAll('#positions > tr')].map((row) => row.id)")
    sizes = {f"pos-{key}": abs(float(place["notional"])) for key, place in server.view["positions"].items()}
    assert [sizes[name] for name in order] == sorted(sizes.values(), reverse=True)
    painted, complete = page.evaluate(
        """() => new Promise((done) => {
          const look = () => {
            const took = (name) => performance.getEntriesByName(name)[0]?.duration;
            const found = [took("view-painted"), took("view-complete")];
            if (found[1]) done(found);
            else requestAnimationFrame(look);
          };
          look();
        })"""
    )
    assert 0 < painted < complete
    page.close()
    server.stop()
