"""Choosing, previewing, following, arranging and leaving traders on the pages (FOL-1)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from markets.recordings import InstrumentRecord
from markets.services import instruments_ensure
from tests.loopback.running import HyperliquidProcess, perp_state
from tests.stateful.worlds import INSTRUMENTS

NEVER_TRADED = '[["allTime",{"accountValueHistory":[[1,"0.0"]],"pnlHistory":[[1,"0.0"]],"vlm":"0.0"}]]'
ADDRESS = "0x5e9ee1089755c3435139848e47e6635505d5a13a"


def add(page: Client, portfolio: Portfolio, **query: str) -> str:
    """Return the text of the add-trader page for a query."""
    answer = page.get(reverse("dashboard:trader_add", args=[portfolio.pk]), query)
    return answer.content.decode()


def follow(page: Client, portfolio: Portfolio, key: str, *, kind: str = "replay", **more: str) -> Any:
    """Press Follow under a preview."""
    body = {"kind": kind, "key": key, "token": str(uuid4()), "join_mode": "new_only", **more}
    return page.post(reverse("dashboard:trader_add", args=[portfolio.pk]), body)


def test_choice_lists_every_recorded_trader(page: Client, portfolio: Portfolio) -> None:
    """FOL-1: four AI traders, five wallets and three strategies can be previewed without typing anything."""
    text = add(page, portfolio)
    assert text.count("kind=replay&amp;key=") == 9
    assert text.count("kind=strategy&amp;key=") == 3
    assert "Strategies on recorded candles" in text
    assert "Pick a trader" in text
    assert Follow.objects.count() == 0


def test_preview_shows_what_would_be_copied(
    page: Client, portfolio: Portfolio, hyperliquid: HyperliquidProcess
) -> None:
    """FOL-1: 1,000 with BTC long 2x and ETH short 1x, alone in 10,000: scaled to 1/3, then capped at 25 %."""
    state = perp_state(("BTC", "0.02", "100000", "2000"), ("ETH", "-0.25", "3600", "1000"))
    nothing = '{"balances":[]}'
    hyperliquid.script(
        answers={f"clearinghouseState|{ADDRESS}|": state, f"spotClearinghouseState|{ADDRESS}|": nothing}
    )
    instruments_ensure(instruments=[InstrumentRecord(spec, "made up") for spec in INSTRUMENTS])
    text = add(page, portfolio, kind="hyperliquid", key=f" {ADDRESS} ")
    assert "$1,000.00" in text
    assert "3.00x" in text
    assert "scaled to 33.3% of its size" in text
    assert "$2,500.00" in text
    assert "Largest position: $4,1" in text
    assert "\u2212$2," in text
    assert "What your capital can copy" in text
    assert "Scaled to its share" in text
    assert "More capital alone does not bring it to 90 %" in text
    assert "Can be joined" in text
    assert "Too far from entry" in text
    assert "Last 7 days".lower() in text.lower()
    assert Follow.objects.count() == 0


def test_spot_preview_says_that_shorts_are_not_copied(
    page: Client, alice: Any, hyperliquid: HyperliquidProcess
) -> None:
    """ALL-3, FOL-1: under the spot policy a short is no position of ours."""
    spot = portfolio_open(owner=alice, initial_cash=Decimal(10000), now=utc_now(), name="Spot")
    state = perp_state(("ETH", "-0.25", "4000", "1000"))
    hyperliquid.script(
        answers={
            f"clearinghouseState|{ADDRESS}|": state,
            f"spotClearinghouseState|{ADDRESS}|": '{"balances":[]}',
        }
    )
    instruments_ensure(instruments=[InstrumentRecord(spec, "made up") for spec in INSTRUMENTS])
    text = add(page, spot, kind="hyperliquid", key=ADDRESS)
    assert "shorts only lower others" in text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("0x12", "is not a wallet address"),
        ("hello", "is not a wallet address"),
        (ADDRESS[:-1] + "z", "is not a wallet address"),
        ("", "Paste the address"),
    ],
)
def test_invalid_address_is_said_beside_the_field(
    page: Client, portfolio: Portfolio, key: str, words: str
) -> None:
    """FOL-1: what was typed stays, the field is marked, the message names what is wrong."""
    text = add(page, portfolio, kind="hyperliquid", key=key)
    field = text[text.index('name="key"') - 200 : text.index("Preview</button>")]
    assert words in field
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="id_key_helptext id_key_error"' in field


def test_unknown_wallet_is_told_apart(
    page: Client, portfolio: Portfolio, hyperliquid: HyperliquidProcess
) -> None:
    """FOL-1: an address on which nothing was ever traded."""
    hyperliquid.script(
        answers={
            f"clearinghouseState|{ADDRESS}|": perp_state(account_value="0.0"),
            f"spotClearinghouseState|{ADDRESS}|": '{"balances":[]}',
            f"portfolio|{ADDRESS}|": NEVER_TRADED,
        }
    )
    assert "has never traded on Hyperliquid" in add(page, portfolio, kind="hyperliquid", key=ADDRESS)


def test_venue_that_fails_can_be_tried_again(
    page: Client, portfolio: Portfolio, hyperliquid: HyperliquidProcess
) -> None:
    """FOL-1: no preview is never shown as an empty trader."""
    hyperliquid.script(rules=[{"type": "clearinghouseState", "do": "500"}])
    answer = page.get(
        reverse("dashboard:trader_add", args=[portfolio.pk]), {"kind": "hyperliquid", "key": ADDRESS}
    )
    assert answer.status_code == 503
    assert "cannot be read right now" in answer.content.decode()


def test_unknown_recorded_trader_and_kind(page: Client, portfolio: Portfolio) -> None:
    """FOL-1: a link that was tampered with gets a sentence, not a fault."""
    assert "There is no recorded trader" in add(page, portfolio, kind="replay", key="nobody")
    assert "There is no kind of trader" in add(page, portfolio, kind="magic", key="x")


def test_following_once_however_often_pressed(page: Client, portfolio: Portfolio) -> None:
    """FOL-1: the same form twice follows once, and both answers lead to the traders."""
    token = str(uuid4())
    first = follow(page, portfolio, "grok-4", token=token)
    second = follow(page, portfolio, "grok-4", token=token)
    assert first.url == second.url == f"/portfolios/{portfolio.pk}/traders/"
    assert Follow.objects.count() == 1
    again = follow(page, portfolio, "grok-4")
    assert again.status_code == 400
    assert "is followed already" in again.content.decode()


def test_another_world_is_refused_with_its_name(page: Client, portfolio: Portfolio) -> None:
    """A portfolio lives in one world: said at the preview, and by the service if pressed all the same."""
    follow(page, portfolio, "grok-4")
    text = add(page, portfolio, kind="replay", key="acc3")
    assert "This portfolio lives in the world “Alpha Arena" in text
    assert "New portfolio" in text
    assert "Follow Wallet A3</button>" not in text
    assert follow(page, portfolio, "acc3").status_code == 400
    assert Follow.objects.count() == 1


def test_eleventh_trader_is_refused(
    page: Client, portfolio: Portfolio, hyperliquid: HyperliquidProcess
) -> None:
    """FOL-1: ten are followed; the eleventh gets a clear message."""
    for number in range(10):
        follow_start(portfolio=portfolio, kind="hyperliquid", key=f"0x{number:040x}", now=utc_now())
    state = perp_state(("BTC", "0.02", "100000", "2000"))
    hyperliquid.script(answers={f"clearinghouseState|{ADDRESS}|": state})
    text = add(page, portfolio, kind="hyperliquid", key=ADDRESS)
    assert "You follow 10 traders, the most a portfolio can hold" in text
    refused = follow(page, portfolio, ADDRESS, kind="hyperliquid")
    assert refused.status_code == 400
    assert Follow.objects.count() == 10


def test_move_and_remove(page: Client, portfolio: Portfolio) -> None:
    """FOL-1: every action of a row; each is harmless when pressed twice."""
    for key in ("grok-4", "qwen3-max"):
        follow(page, portfolio, key)
    first, second = Follow.objects.order_by("place")

    def press(name: str, **body: str) -> None:
        answer = page.post(reverse(f"dashboard:{name}", args=[portfolio.pk, first.pk]), body)
        assert (answer.status_code, answer.url) == (302, f"/portfolios/{portfolio.pk}/traders/")
        first.refresh_from_db()
        second.refresh_from_db()

    press("follow_move", direction="down")
    assert (first.place, second.place) == (2, 1)
    press("follow_move", direction="down")
    assert (first.place, second.place) == (2, 1)
    press("follow_move", direction="sideways")
    assert (first.place, second.place) == (2, 1)
    press("follow_remove")
    assert first.status == "active"
    for _ in range(2):
        press("follow_remove", positions="close")
        assert first.status == "leaving"


def test_remove_can_hand_the_positions_over(page: Client, portfolio: Portfolio) -> None:
    """Leaving: "hand them to me" keeps what was copied."""
    follow(page, portfolio, "grok-4")
    one = Follow.objects.get()
    page.post(reverse("dashboard:follow_remove", args=[portfolio.pk, one.pk]), {"positions": "keep"})
    answer = page.get(reverse("dashboard:traders", args=[portfolio.pk])).content.decode()
    assert "its positions are yours now" in answer


def test_start_page_until_the_first_follow(page: Client, portfolio: Portfolio) -> None:
    """VIEW-4: the checklist says what is done and what is next; with the first follow the page is live."""
    address = reverse("dashboard:portfolio", args=[portfolio.pk])
    start = page.get(address).content.decode()
    assert "2 of 5" in start
    assert "Add two traders" in start
    assert "portfolio-view" not in start
    follow(page, portfolio, "grok-4")
    assert 'id="portfolio-view"' in page.get(address).content.decode()


def test_custom_percentages_are_saved_and_refused(page: Client, portfolio: Portfolio) -> None:
    """ALL-2: at least 1 % each, exactly 100 % in all; back to equal shares."""
    for key in ("grok-4", "qwen3-max"):
        follow(page, portfolio, key)
    first, second = Follow.objects.order_by("place")
    address = reverse("dashboard:weights_save", args=[portfolio.pk])

    def save(weighting: str, one: str, other: str) -> Any:
        body = {"weighting": weighting, f"share_{first.pk}": one, f"share_{second.pk}": other}
        answer = page.post(address, body)
        first.refresh_from_db()
        second.refresh_from_db()
        return answer

    assert save("custom", "70.25", "29.75").status_code == 302
    assert (str(first.weight), str(second.weight)) == ("0.7025", "0.2975")
    for one, other, words in [
        ("70", "29", "sum to exactly 100, they sum to 99"),
        ("99.5", "0.5", "greater than or equal to 1"),
        ("70", "", "Enter a percentage such as"),
        ("x", "30", "Enter a number"),
        ("33.333", "66.667", "no more than 2 decimal places"),
    ]:
        refused = save("custom", one, other)
        assert refused.status_code == 400
        assert words in refused.content.decode()
        assert str(first.weight) == "0.7025"
    assert save("equal", "", "").status_code == 302
    assert str(first.weight) == "0.5000"
