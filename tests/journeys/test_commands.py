"""What a person asks for on the pages: dialogs, keys that make a second press harmless, answers (VIEW-3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from playwright.sync_api import expect

from allocation.breakers import breaker_trip
from allocation.models import BreakerTrip
from core.clock import utc_now
from engine import sending
from engine.models import Command
from markets.recordings import ALPHA_ARENA
from positions.models import Position
from tests.conftest import CAST_PASSWORD
from tests.integration.commands.conftest import DEEPSEEK, GROK, Floor
from tests.journeys.fixture_server import FixtureServer
from tests.journeys.test_first_run import sign_in
from tests.replaying import ReplayDriver
from tests.running import wait_until
from traders.reading import read_loop_close

Opener = Callable[..., Any]


class Answers:
    """The commands endpoint, answering as the test says; 0 is no answer at all."""

    def __init__(self, page: Any, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[tuple[str, Any]] = []
        self.state = {"status": "accepted", "answer": ""}
        page.route("**/api/v1/portfolios/1/commands/**", self._answer)

    def _answer(self, route: Any) -> None:
        request = route.request
        if request.method == "GET":
            return route.fulfill(json={"id": "c-1", **self.state})
        self.asked.append((request.headers["idempotency-key"], request.post_data_json))
        match self.statuses.pop(0):
            case 0:
                return route.abort("internetdisconnected")
            case 400:
                problem = {"detail": "no", "errors": {"position_id": ["The position is closed already."]}}
                return route.fulfill(status=400, json=problem, content_type="application/problem+json")
            case status:
                return route.fulfill(status=status, json={"id": "c-1", **self.state})


@pytest.fixture
def live_page(open_page: Opener, fixture_server: FixtureServer) -> Any:
    """The portfolio page over a made-up view; lost requests are not the page's fault."""
    page = open_page(f"{fixture_server.url}/portfolios/1/", forgiven="Failed to load resource")
    expect(page.locator("#connection")).to_contain_text("Live")
    return page


def test_close_dialog_estimates_and_sends(live_page: Any, fixture_server: FixtureServer) -> None:
    """VIEW-3: slider and shortcuts agree, the estimate follows the mark, the answer comes over the socket."""
    answers = Answers(live_page, 202)
    place = fixture_server.view["positions"]["1"]
    live_page.get_by_role("button", name="Close BTC").click()
    dialog = live_page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Close BTC long")
    dialog.get_by_text("25%", exact=True).click()
    expect(dialog.locator("[data-slot=slider]")).to_have_value("25")
    expect(dialog.locator("[data-slot=value]")).to_have_text(f"${float(place['notional']) / 4:,.2f}")
    fixture_server.change({"set": {"positions": {"1": place | {"notional": "4000.00"}}}, "drop": {}})
    expect(dialog.locator("[data-slot=value]")).to_have_text("$1,000.00")
    dialog.get_by_role("button", name="Close 25%").click()
    expect(dialog).to_have_count(0)
    assert [body for _, body in answers.asked] == [
        {"kind": "close", "data": {"position_id": 1, "percent": "25", "market": False}}
    ]
    expect(live_page.locator("#toasts")).to_contain_text("accepted")
    done = {"id": "c-1", "status": "done", "answer": "Closed 0.1 BTC at 107310: +3.10 after fees."}
    fixture_server.change({"set": {"commands": {"c-1": done}}, "drop": {}})
    expect(live_page.locator("#toasts")).to_contain_text("Closed 0.1 BTC at 107310")


def test_a_lost_answer_is_asked_for_again_with_the_same_key(live_page: Any) -> None:
    """VIEW-3: nothing is lost and nothing is done twice when the network is cut."""
    answers = Answers(live_page, 0, 0, 0, 0, 202)
    live_page.get_by_role("button", name="Close BTC").click()
    dialog = live_page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close 100%").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Sending it again is safe", timeout=15_000)
    expect(dialog.locator("[data-slot=slider]")).to_be_disabled()
    dialog.get_by_role("button", name="Send again").click()
    expect(live_page.locator("#toasts")).to_contain_text("accepted")
    assert len(answers.asked) == 5
    assert len(set(map(str, answers.asked))) == 1


def test_a_refusal_says_why_and_keeps_the_form(live_page: Any) -> None:
    """VIEW-3: after a clear no the form can be changed and is another wish; the end is asked for too."""
    answers = Answers(live_page, 400, 202)
    live_page.get_by_role("button", name="Close BTC").click()
    dialog = live_page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close 100%").click()
    expect(dialog.get_by_role("alert")).to_contain_text("closed already")
    dialog.get_by_text("50%", exact=True).click()
    answers.state = {"status": "refused", "answer": "Breakers bar it."}
    dialog.get_by_role("button", name="Close 50%").click()
    expect(live_page.locator("#toasts .is-warn")).to_contain_text("Breakers bar it.")
    keys = [key for key, _ in answers.asked]
    assert len(set(keys)) == 2


def test_half_a_position_is_closed(
    asgi_server: str, open_page: Opener, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIEW-3, EXE-8: on the real server, from the button to the filled order and its answer."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    with ThreadPoolExecutor(1) as elsewhere:
        floor = elsewhere.submit(_floor, alice).result()
        position = elsewhere.submit(lambda: (floor.position(), connection.close())[0]).result()
        before = position.quantity
        page = open_page(asgi_server)
        sign_in(page, asgi_server, "alice@example.com", CAST_PASSWORD)
        expect(page.locator("#connection")).to_contain_text("Live")
        page.locator(f"#pos-{position.pk}").get_by_role("button", name=f"Close {position.underlying}").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("50%", exact=True).click()
        dialog.get_by_role("button", name="Close 50%").click()
        expect(page.locator("#toasts")).to_contain_text("accepted")
        wait_until(Command.objects.exists, what="the command")
        command = Command.objects.get()
        assert (command.kind, command.via, command.asked_by) == ("close", "page", alice)
        assert elsewhere.submit(_carry_out, floor, command.pk).result() == "done"
    expect(page.locator("#toasts")).to_contain_text(f"Closed {position.underlying}"[:6])
    position.refresh_from_db()
    step = position.instrument.quantity_step
    assert position.quantity == before - before / 2 // step * step
    assert Position.objects.get(pk=position.pk).status != "closed"


def _floor(owner: Any) -> Floor:
    """Alice's portfolio in the recorded arena, holding what two models hold; it lives in the present."""
    arena = ReplayDriver(ALPHA_ARENA, wall_at=utc_now()).start()
    portfolio = arena.portfolio(
        owner, name="Two", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    for _ in range(4):
        arena.forward(10)
        arena.observe((GROK, DEEPSEEK))
        arena.settle()
    _leave()
    return Floor(arena, portfolio)


def _carry_out(floor: Floor, command_id: UUID) -> str:
    try:
        return floor.carry_out(Command.objects.get(pk=command_id)).status
    finally:
        _leave()


def _leave() -> None:
    """Close what this thread opened."""
    read_loop_close()
    connection.close()


def test_a_breaker_is_reset_and_everything_stopped(
    asgi_server: str, open_page: Opener, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RSK-2, RSK-3: a reset wants a reason; a stop wants the name, freezes at once and closes everything."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    with ThreadPoolExecutor(1) as elsewhere:
        floor = elsewhere.submit(_floor, alice).result()
        elsewhere.submit(_trip, floor).result()
        page = open_page(asgi_server)
        sign_in(page, asgi_server, "alice@example.com", CAST_PASSWORD)
        page.get_by_role("link", name="Risk").click()
        trips = page.locator("#risk-trips")
        expect(trips).to_contain_text("Losses in a row: no new entries.")
        trips.get_by_role("button", name="Reset").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Reset the breaker").click()
        expect(dialog).to_be_visible()  # the browser asks for the reason
        dialog.get_by_label("Reason").fill("looked at all five")
        dialog.get_by_role("button", name="Reset the breaker").click()
        expect(page.locator("#toasts")).to_contain_text("accepted")
        assert elsewhere.submit(_carry_out, floor, Command.objects.get().pk).result() == "done"
        expect(trips).not_to_contain_text("Losses in a row")
        trip = BreakerTrip.objects.get()
        assert (trip.reset_by, trip.reset_reason) == ("alice@example.com", "looked at all five")

        page.get_by_role("button", name="Emergency stop").click()
        stop = dialog.get_by_role("button", name="Stop everything")
        expect(stop).to_be_disabled()
        dialog.get_by_label("Type Two to confirm").fill("Two")
        stop.click()
        expect(trips).to_contain_text("Emergency stop: halted.")
        assert BreakerTrip.objects.filter(kind="emergency_stop", reset_at__isnull=True).exists()
        stopping = Command.objects.get(kind="emergency_stop")
        assert elsewhere.submit(_carry_out, floor, stopping.pk).result() == "done"
    assert not Position.objects.exclude(status="closed").exists()
    expect(trips.get_by_role("button", name="Resume")).to_be_visible()


def _trip(floor: Floor) -> None:
    breaker_trip(
        portfolio_id=floor.portfolio.pk, kind="losses_in_a_row", reason="5 losing positions", now=utc_now()
    )
    _leave()
