"""The portfolio page by keyboard, at 200 %, without motion, and by the names it gives things (VIEW-4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.journeys.fixture_server import FixtureServer

Opener = Callable[..., Any]
PATIENCE_MS = 30_000
INSIDE = "(dialog) => dialog.contains(document.activeElement) || document.activeElement === document.body"


@pytest.fixture
def page(open_page: Opener, fixture_server: FixtureServer) -> Any:
    """The portfolio page over a made-up view."""
    opened = open_page(f"{fixture_server.url}/portfolios/1/", reduced_motion="reduce")
    expect(opened.locator("#connection")).to_contain_text("Live", timeout=PATIENCE_MS)
    return opened


def test_skip_link_leads_past_the_navigation(page: Any) -> None:
    """The first Tab shows it; after it the next control is one of the page's own."""
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


@pytest.mark.parametrize("kind", ["close", "exits", "entry", "emergency_stop"])
def test_dialog_keeps_the_focus_and_gives_it_back(page: Any, kind: str) -> None:
    """Tab stays inside; Escape closes; whoever opened it has the focus again, and can be seen to have it."""
    opener = page.locator(f"[data-ask={kind}]").first
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(25):
        page.keyboard.press("Tab")
        assert dialog.evaluate(INSIDE)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    assert opener.evaluate("(node) => getComputedStyle(node).outlineStyle") == "solid"


@pytest.mark.parametrize("width", [720, 320], ids=["200 percent", "reflow"])
def test_nothing_scrolls_sideways_when_zoomed(page: Any, width: int) -> None:
    """A 1440 px screen at 200 % is 720 px wide, and WCAG asks for 320 (1.4.4, 1.4.10)."""
    page.set_viewport_size({"width": width, "height": 500})
    page.wait_for_function("(width) => innerWidth === width", arg=width)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_nothing_moves_for_who_wants_no_motion(page: Any, fixture_server: FixtureServer) -> None:
    """Not even the ring of a connection that is looked for."""
    fixture_server.accepting = False
    fixture_server.cut()
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "reconnecting", timeout=PATIENCE_MS)
    assert page.evaluate("document.getAnimations().length") == 0


def test_pictures_and_meters_say_their_numbers(page: Any) -> None:
    """Rails, bars and charts have a name with figures in it; so has every meter."""
    names = page.locator("#positions svg.rail").evaluate_all(
        "(nodes) => nodes.map((node) => node.getAttribute('aria-label') ?? '')"
    )
    assert names
    assert [name for name in names if not any(sign.isdigit() for sign in name)] == []
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("svg[role=img], meter, progress")]
          .filter((node) => node.checkVisibility())
          .filter((node) => !node.ariaLabel && !node.getAttribute("aria-labelledby"))
          .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    chart = page.locator("#equity-panel [data-chart]")
    expect(chart).to_have_attribute("aria-label", re.compile(r"portfolio [+−]?\d+\.\d%"))
