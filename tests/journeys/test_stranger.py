"""A stranger's way through a whole site, from the first page to half a position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import expect

from tests.journeys.hands import Pointer
from tests.journeys.whole_site import WholeSite, whole_site
from tests.running import wait_until

Opener = Callable[..., Any]
PASSWORD: Final = "a horse of another colour"
TRADERS: Final = ("DeepSeek V3.1", "Qwen3 Max", "Grok 4")
PATIENCE_MS: Final = 60_000
USUAL_MS: Final = 5_000
FILL_MS: Final = 180_000  # an entry lives a minute, and is placed anew when the price has run away from it
REPLAY_SPEED: Final = "200"  # a minute is three hours: traders act, and a price still waits for an order
FORGIVEN: Final = "status of 400"


@pytest.fixture(scope="module")
def site() -> Iterator[WholeSite]:
    """One whole site."""
    with whole_site(REPLAY_SPEED=REPLAY_SPEED) as running:
        yield running


@pytest.fixture
def patience() -> Iterator[None]:
    """Wait longer than usual: a whole site works behind the page."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=USUAL_MS)


def test_stranger(site: WholeSite, open_page: Opener, patience: None) -> None:
    """VIEW-3, VIEW-4: the first hour of a person."""
    page = open_page(site.url, forgiven=FORGIVEN)
    page.set_default_timeout(PATIENCE_MS)
    walk = Walk(page, Pointer(page), email="stranger@example.com")
    walk.sign_up()
    walk.portfolio_open()
    walk.conflicts_wait_for_me()
    for name in TRADERS:
        walk.follow(name)
    walk.start()
    walk.conflict_approve()
    walk.sees_it_move()
    walk.exit_edit()
    walk.half_close()
    walk.limits_set()


class Walk:
    """One person's way, step by step. Each step begins and ends on a page of the portfolio."""

    def __init__(self, page: Any, hands: Pointer, *, email: str) -> None:
        self.page, self.hands, self.email = page, hands, email

    # ------------------------------------------------ pieces
    def go(self, name: str) -> None:
        """Follow the navigation; what has no room there on a phone stands under More."""
        nav = self.page.get_by_role("navigation", name="Main")
        link = nav.get_by_role("link", name=name)
        if not link.is_visible():
            self.hands.press(nav.get_by_role("button", name="More"))
            link = self.page.locator("#account-menu").get_by_role("link", name=name, exact=True)
        self.hands.press(link)
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    def button(self, name: str) -> Any:
        """The button of a name, a dialog's where one is open."""
        dialog = self.page.get_by_role("dialog")
        return (dialog if dialog.count() else self.page).get_by_role("button", name=name, exact=True)

    def ask(self, opener: Any, confirm: str, *, answer: str = "", reason: str = "", phrase: str = "") -> None:
        """Open a dialog, fill it in, confirm, and wait for the answer in its toast."""
        self.hands.press(opener)
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        if phrase:
            self.hands.write(dialog.locator("[data-slot=phrase]"), phrase)
        if reason:
            self.hands.write(dialog.locator("[data-slot=reason]"), reason)
        self.hands.press(dialog.get_by_role("button", name=confirm, exact=True))
        expect(dialog).to_have_count(0)
        if answer:
            expect(self.page.locator("#toasts")).to_contain_text(re.compile(answer))

    # ------------------------------------------------ steps
    def sign_up(self) -> None:
        page, hands = self.page, self.hands
        hands.press(page.get_by_role("link", name="Create an account"))
        hands.write(page.get_by_label("Email"), self.email)
        hands.write(page.get_by_label("Password", exact=True), PASSWORD)
        hands.write(page.get_by_label("Password (again)"), PASSWORD)
        hands.press(page.get_by_role("button", name="Create account"))

    def portfolio_open(self) -> None:
        page, hands = self.page, self.hands
        expect(page.get_by_role("heading", name="Set up your portfolio")).to_be_visible()
        hands.write(page.get_by_role("textbox", name="Name"), "First book")
        hands.choose(page.get_by_label("Perpetuals"))
        hands.choose(page.get_by_label("Balanced"))
        hands.press(page.get_by_role("button", name="Create portfolio"))
        expect(page.get_by_role("progressbar")).to_be_visible()

    def conflicts_wait_for_me(self) -> None:
        self.go("Conflicts")
        self.ask(self.button("Approve them myself"), "Let them wait for me", answer="approv|wait|Conflict")

    def follow(self, name: str) -> None:
        page, hands = self.page, self.hands
        self.go("Traders")
        hands.press(page.get_by_role("link", name="Add trader").first)
        hands.press(page.get_by_role("link", name=name).first)
        expect(page.get_by_role("heading", name="After following")).to_be_visible()
        hands.choose(page.get_by_label("Also open positions within 2 %"))
        hands.press(page.get_by_role("button", name=f"Follow {name}"))
        expect(page.get_by_text(f"Following {name}.")).to_be_visible()

    def start(self) -> None:
        """The last step of the checklist; until then nothing was ordered."""
        page = self.page
        self.go("Portfolio")
        expect(page.get_by_role("progressbar", name="Setup progress")).to_have_attribute("value", "3")
        expect(page.locator("#positions > tr[id^=pos-]")).to_have_count(0)
        self.ask(page.get_by_role("button", name="Start", exact=True), "Place orders")
        expect(page.get_by_role("progressbar", name="Setup progress")).to_have_count(0)

    def conflict_approve(self) -> None:
        """The first conflict that waits is settled by netting."""
        page = self.page
        expect(page.locator("#nav-conflicts .count")).to_be_visible()
        self.go("Conflicts")
        approve = page.locator("#approve-combine")
        expect(approve).to_be_visible()
        self.ask(approve, "Approve, combine", answer="pprove")

    def sees_it_move(self) -> None:
        """Positions appear, and their prices change while the page is only looked at."""
        page = self.page
        self.go("Portfolio")
        expect(page.locator("#connection")).to_contain_text("Live")
        row = page.locator("#positions > tr[id^=pos-]").first
        expect(row).to_be_visible(timeout=FILL_MS)
        before = row.inner_text()
        wait_until(lambda: row.inner_text() != before, timeout_s=PATIENCE_MS / 1000, what="a price to move")

    def exit_edit(self) -> None:
        page = self.page
        row = page.locator("#positions > tr[id^=pos-]").filter(has=page.locator("[data-ask=exits]")).first
        self.hands.press(row.locator("[data-ask=exits]"))
        dialog = page.get_by_role("dialog")
        field = dialog.locator("[data-slot=time]")
        expect(field).to_be_visible()
        self.hands.write(field, "5")
        self.hands.press(dialog.get_by_role("button", name="Save exits"))
        expect(dialog).to_have_count(0)
        expect(page.locator("#toasts")).to_contain_text(re.compile("xits|time stop", re.I))

    def half_close(self) -> None:
        """Half of a position goes, the other half stays."""
        page = self.page
        row = page.locator("#positions > tr[id^=pos-]").first
        self.hands.press(row.locator("[data-ask=close]"))
        dialog = page.get_by_role("dialog")
        self.hands.choose(dialog.get_by_label("50%", exact=True))
        self.hands.press(dialog.get_by_role("button", name="Close 50%"))
        expect(dialog).to_have_count(0)
        expect(page.locator("#toasts")).to_contain_text(re.compile("Closed|Close .* accepted|Selling|Buying"))

    def limits_set(self) -> None:
        """A breaker is set on the settings page, and the risk page shows it."""
        page, hands = self.page, self.hands
        self.go("Settings")
        hands.write(page.get_by_label("Losses in a row"), "1")
        hands.press(page.get_by_role("button", name="Set limits"))
        expect(page.get_by_role("heading", name="Risk", exact=True, level=1)).to_be_visible()
