"""Changing what closes a position: what is typed, what it would come to, what is sent (VIEW-3, EXT-2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.journeys.fixture_server import FixtureServer

Opener = Callable[..., Any]
COMMANDS = "**/api/v1/portfolios/1/commands/"


def _dialog(open_page: Opener, server: FixtureServer, code: str, **options: Any) -> tuple[Page, Locator]:
    page = open_page(f"{server.url}/portfolios/1/", **options)
    page.get_by_role("button", name=f"Edit exits for {code}").click()
    return page, page.get_by_role("dialog")


def _answers(page: Page, status: int, answer: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Answer every command; return what was sent, and under which key."""
    sent: list[tuple[dict[str, Any], str]] = []

    def handle(route: Any) -> None:
        sent.append((route.request.post_data_json, route.request.headers["idempotency-key"]))
        route.fulfill(status=status, content_type="application/json", body=json.dumps(answer))

    page.route(COMMANDS, handle)
    return sent


def test_stop_is_set_and_only_the_stop_is_sent(open_page: Opener, fixture_server: FixtureServer) -> None:
    """The rail and the words follow what is typed; unchanged fields stay out of the request."""
    page, dialog = _dialog(open_page, fixture_server, "ETH")
    save = dialog.get_by_role("button", name="Save exits")
    expect(save).to_be_disabled()
    expect(dialog.get_by_label("Stop loss at")).to_have_value("3538.504")
    before = dialog.locator(".rail-stop").get_attribute("d")
    dialog.get_by_label("Stop loss at").fill("3,700")
    expect(dialog.locator("#exits-stop-hint")).to_have_text("\u22123.80% from entry, risks $69.94")
    expect(dialog.locator(".exit-ends")).to_contain_text("Stop 3,700.00")
    assert before == "M11 5h-4v14h4"
    assert dialog.locator(".rail-stop").get_attribute("d") == "M60.9 5h-4v14h4"
    assert dialog.locator(".rail-ghost").get_attribute("d") == "M10 7h-3v10h3"  # where the first one stood
    sent = _answers(page, 202, {"id": "c1", "status": "accepted", "answer": ""})
    page.route("**/commands/c1/", lambda route: route.fulfill(json={"id": "c1", "status": "accepted"}))
    save.click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#toasts")).to_contain_text("Exits for ETH long")
    assert [data for data, _ in sent] == [{"kind": "exits", "data": {"position_id": 2, "stop_price": "3700"}}]
    assert len(sent[0][1]) >= 32
    answer = {"id": "c1", "kind": "exits", "status": "done", "answer": "Exits of ETH changed: stop at 3700."}
    fixture_server.change({"set": {"commands": {"c1": answer}}, "drop": {}})
    expect(page.locator("#toasts")).to_contain_text("Exits of ETH changed: stop at 3700.")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("3500", "Looser than the stop at 3,538.50. A stop only tightens."),
        ("3900", "The price is past it already. To close now, use Close."),
        ("-1", "Write a price."),
        ("3860", "+0.36% from entry, locks in +$6.60"),
    ],
)
def test_stop_is_judged_while_it_is_typed(
    open_page: Opener, fixture_server: FixtureServer, typed: str, words: str
) -> None:
    """EXT-2: what the server would refuse is said before it is asked."""
    _, dialog = _dialog(open_page, fixture_server, "ETH")
    dialog.get_by_label("Stop loss at").fill(typed)
    expect(dialog.locator("#exits-stop-hint")).to_have_text(words)


def test_refusal_stands_at_its_field(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-3: a clear no keeps what was typed, and the next try has a key of its own."""
    page, dialog = _dialog(open_page, fixture_server, "ETH", forgiven="status of 400")
    dialog.get_by_label("Stop loss at").fill("3500")
    problem = {"detail": "No.", "errors": {"stop_price": ["A stop only tightens; it stands at 3538.504."]}}
    sent = _answers(page, 400, problem)
    save = dialog.get_by_role("button", name="Save exits")
    save.click()
    field = dialog.locator("[data-field~=stop_price]")
    expect(field.get_by_role("alert")).to_have_text("A stop only tightens; it stands at 3538.504.")
    expect(dialog.get_by_label("Stop loss at")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Stop loss at")).to_be_focused()
    expect(dialog.locator("[data-slot=error]")).to_be_hidden()
    save.click()
    expect(field.get_by_role("alert")).to_be_visible()
    assert len({key for _, key in sent}) == 2
    dialog.get_by_label("Stop loss at").fill("3600")
    expect(field.locator(".error")).to_be_hidden()


def test_steps_trailing_and_time_are_sent_as_the_server_reads_them(
    open_page: Opener, fixture_server: FixtureServer
) -> None:
    """EXT-1: steps by price or gain, a distance with its start, hours as days."""
    page, dialog = _dialog(open_page, fixture_server, "BNB")
    expect(dialog.locator(".exit-step")).to_have_count(2)
    dialog.get_by_role("button", name="Remove this step").first.click()
    dialog.get_by_role("button", name="Add a step").click()
    added = dialog.locator(".exit-step").nth(1)
    added.get_by_label("Price or gain").fill("1300")
    added.get_by_label("Part to close").fill("50")
    dialog.get_by_label("Trailing distance").fill("3")
    dialog.get_by_label("Time stop after").fill("36")
    dialog.get_by_label("Unit of the time stop").select_option("h")
    expect(dialog.locator("#exits-time-hint")).to_contain_text("left")
    sent = _answers(page, 202, {"id": "c2", "status": "done", "answer": "Done."})
    dialog.get_by_role("button", name="Save exits").click()
    expect(dialog).to_have_count(0)
    assert sent[0][0]["data"] == {
        "position_id": 4,
        "trail_by_pct": "3",
        "time_stop_days": "1.5",
        "take_profit": [
            {"gain_pct": "12.00", "fraction_pct": "100"},
            {"price": "1300", "fraction_pct": "50"},
        ],
    }


def test_defaults_replace_everything(open_page: Opener, fixture_server: FixtureServer) -> None:
    """EXT-2: back to the portfolio's rules, whatever stands half typed in a field."""
    page, dialog = _dialog(open_page, fixture_server, "BNB")
    dialog.get_by_label("Stop loss at").fill("")
    sent = _answers(page, 202, {"id": "c3", "status": "done", "answer": "Done."})
    dialog.get_by_role("button", name="Use defaults").click()
    expect(dialog).to_have_count(0)
    assert sent[0][0] == {"kind": "exits", "data": {"position_id": 4, "use_defaults": True}}


def test_dialog_follows_the_position(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-2: the mark goes on while one types; a position that closes meanwhile is said to be gone."""
    _, dialog = _dialog(open_page, fixture_server, "ETH")
    place = fixture_server.view["positions"]["2"]
    fixture_server.change({"set": {"positions": {"2": place | {"mark_price": "3520"}}}, "drop": {}})
    expect(dialog.locator("#exits-stop-hint")).to_have_text(
        "The price is past it already. To close now, use Close."
    )
    fixture_server.change({"set": {}, "drop": {"positions": ["2"]}})
    expect(dialog.locator("[data-slot=gone]")).to_be_visible()
    expect(dialog.get_by_role("button", name="Save exits")).to_be_disabled()
    expect(dialog.get_by_role("button", name="Use defaults")).to_be_disabled()


def test_dialog_fits_a_phone(open_page: Opener, fixture_server: FixtureServer) -> None:
    """VIEW-4: nothing of it hangs over the edge of 390 px."""
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page, dialog = _dialog(open_page, fixture_server, "BNB", **phone)
    expect(dialog).to_be_visible()
    wide = page.evaluate(
        """[...document.querySelectorAll("dialog *")]
          .filter((node) => node.getBoundingClientRect().right > 380).length"""
    )
    assert wide == 0
