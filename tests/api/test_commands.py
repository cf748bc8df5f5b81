"""VIEW-3, API-1, SEC-2: commands, orders and the audit log over the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Portfolio, User
from core.clock import utc_now
from engine.commands import command_run
from engine.models import Command
from engine.selectors import portfolio_view
from execution.models import Fill
from tests.api.conftest import problem, url_of
from tests.api.making import command_make, order_make, portfolio_make

SINGLE = {"kind": "mode", "data": {"trading_mode": "single"}}


def ask(client: Client, portfolio: Portfolio, body: Any = SINGLE, key: str = "k1", **more: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(
        url_of(portfolio, "commands/"),
        data=json.dumps(body),
        content_type="application/json",
        headers=headers | more,
    )


def test_a_command_is_accepted_answered_and_shown(api: Client, portfolio: Portfolio) -> None:
    """VIEW-3: 202 with the command; once it ran its answer is at its address and in the view."""
    response = ask(api, portfolio)
    assert response.status_code == 202
    body = response.json()
    assert (body["kind"], body["status"], body["answer"]) == ("mode", "accepted", "")
    assert (body["asked_by"], body["via"], body["data"]) == (
        "alice@example.com",
        "api",
        {"trading_mode": "single"},
    )
    command = Command.objects.get()
    assert str(command.pk) == body["id"]
    command_run(command_id=command.pk, now=utc_now())
    now = api.get(url_of(portfolio, f"commands/{body['id']}/")).json()
    assert (now["status"], now["answer"]) == ("done", "Trading mode “One position at a time”.")
    view = portfolio_view(portfolio=portfolio)
    assert view["portfolio"]["trading_mode"] == "single"
    shown = view["commands"][body["id"]]
    assert (shown["status"], shown["label"]) == ("done", "Set the trading mode")


def test_sent_twice_is_one_command(api: Client, portfolio: Portfolio) -> None:
    """VIEW-3: a request whose answer was lost can be sent again."""
    assert ask(api, portfolio).json()["id"] == ask(api, portfolio).json()["id"]
    other = {"kind": "mode", "data": {"trading_mode": "multi"}}
    assert problem(ask(api, portfolio, other))["status"] == 422
    assert Command.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "key", "field"),
    [
        (SINGLE, "", "Idempotency-Key"),
        ({"kind": "mode", "data": {"trading_mode": "many"}}, "k", "trading_mode"),
        ({"kind": "explode"}, "k", "kind"),
        ({"data": {}}, "k", "kind"),
        ({"kind": "mode", "data": "single"}, "k", "data"),
        ({"kind": "close", "data": {"position_id": 1, "percent": 50.5}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 1, "percent": "0"}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 1, "percent": "100.01"}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 1, "percent": "NaN"}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 99, "percent": "50"}}, "k", "position_id"),
        ({"kind": "cancel", "data": {"order_id": 99}}, "k", "order_id"),
        ({"kind": "mode", "data": {}, "more": 1}, "k", "more"),
        ({"kind": "mode", "data": {"trading_mode": "\x00\ud800"}}, "k", "trading_mode"),
        ({"kind": "mode", "data": {"\ud800": 1}}, "k", "�"),
        ({"kind": "\ud800\x00"}, "k", "kind"),
        ({"kind": "close", "data": {"position_id": 1, "percent": "1e999999"}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 1, "percent": "1e-999999"}}, "k", "percent"),
        ({"kind": "close", "data": {"position_id": 2**63, "percent": "5"}}, "k", "position_id"),
        ({"kind": "entry", "data": {"instrument": "'; DROP"}}, "k", "instrument"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    api: Client, portfolio: Portfolio, body: Any, key: str, field: str
) -> None:
    """VIEW-3: 400, and nothing is done."""
    response = ask(api, portfolio, body, key)
    assert response.status_code == 400
    assert list(problem(response)["errors"]) == [field]
    assert len(response.content) < 1000
    assert not Command.objects.exists()


def test_a_foreign_order_or_position_is_not_there(api: Client, portfolio: Portfolio, bobs: Portfolio) -> None:
    """SEC-1: Alice cannot name Bob's order; the refusal is in her log."""
    order = order_make(portfolio=bobs)
    response = ask(api, portfolio, {"kind": "cancel", "data": {"order_id": order.pk}})
    assert list(problem(response)["errors"]) == ["order_id"]
    order.refresh_from_db()
    assert order.cancel_requested_at is None
    entry = AuditEntry.objects.get()
    assert (entry.portfolio_id, entry.action, entry.outcome) == (portfolio.pk, "order.cancel", "refused")


def test_outsiders_find_nothing(
    portfolio: Portfolio, bob: User, charlie: User, api_of: Callable[[User], Client]
) -> None:
    """SEC-1: of another's portfolio there is nothing to see and nothing to do."""
    command, order = command_make(portfolio=portfolio), order_make(portfolio=portfolio)
    for outsider in (bob, charlie):
        client = api_of(outsider)
        for address in ("commands/", f"commands/{command.pk}/", "orders/", f"orders/{order.pk}/", "audit/"):
            assert client.get(url_of(portfolio, address)).status_code == 404
        assert ask(client, portfolio, key="bad").status_code == 404
    assert Client().get(url_of(portfolio, "commands/")).status_code == 401
    assert Command.objects.count() == 1


def test_a_page_sends_it_with_its_session_and_token(portfolio: Portfolio, alice: User) -> None:
    """SEC-1: by session only with the CSRF token; the log says it came from a page."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert ask(client, portfolio).status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    response = ask(client, portfolio, **{"X-CSRFToken": "a" * 32})
    assert (response.status_code, response.json()["via"]) == (202, "page")


def test_commands_are_listed_newest_first_and_filtered(api: Client, portfolio: Portfolio) -> None:
    """VIEW-3: what was asked, in pages."""
    first = command_make(portfolio=portfolio, key="a", kind="cancel", data={"order_id": 1}, status="refused")
    second = command_make(portfolio=portfolio, key="b")
    ids = [entry["id"] for entry in api.get(url_of(portfolio, "commands/")).json()["results"]]
    assert ids == [str(second.pk), str(first.pk)]
    for query, wanted in (("kind=cancel", first), ("status=accepted", second)):
        results = api.get(url_of(portfolio, f"commands/?{query}")).json()["results"]
        assert [entry["id"] for entry in results] == [str(wanted.pk)]


def test_an_order_tells_its_story(api: Client, portfolio: Portfolio) -> None:
    """API-1: events, slices and fills of one order, decimals without trailing zeros."""
    order = order_make(portfolio=portfolio)
    Fill.objects.create(
        order=order,
        venue="paper",
        venue_fill_id="1",
        quantity="0.004",
        price="107000",
        fee="0.19",
        world_at=utc_now(),
    )
    order.filled_quantity, order.filled_notional = "0.004", "428"
    order.save()
    story = api.get(url_of(portfolio, f"orders/{order.pk}/")).json()
    assert (story["code"], story["quantity"], story["limit_price"]) == ("BTC", "0.01", "107000")
    assert story["average_price"] == "107000"
    assert story["slices"] == [{"follow_id": None, "quantity": "0.01"}]
    assert [event["to_status"] for event in story["events"]] == ["submitted"]
    assert [(fill["quantity"], fill["price"], fill["fee"]) for fill in story["fills"]] == [
        ("0.004", "107000", "0.19")
    ]
    assert api.get(url_of(portfolio, "orders/999999/")).status_code == 404


def test_orders_are_filtered(api: Client, portfolio: Portfolio) -> None:
    """API-1: by status, side, instrument and who wanted them."""
    mine, copied = order_make(portfolio=portfolio), order_make(portfolio=portfolio)
    mine.origin, mine.status, mine.side = "person", "cancelled", "SELL"
    mine.save()
    order_make(portfolio=portfolio_make(owner=portfolio.owner, name="Another"))
    for query, wanted in (
        ("", [copied.pk, mine.pk]),
        ("?status=cancelled,filled", [mine.pk]),
        ("?origin=copy", [copied.pk]),
        ("?side=SELL&underlying=BTC", [mine.pk]),
        ("?underlying=ETH", []),
    ):
        results = api.get(url_of(portfolio, f"orders/{query}")).json()["results"]
        assert [entry["id"] for entry in results] == wanted


def test_the_log_is_read_by_the_owner(api: Client, portfolio: Portfolio) -> None:
    """SEC-2: what was asked and what came of it, newest first; refusals are there too."""
    ask(api, portfolio)
    command = Command.objects.get()
    command_run(command_id=command.pk, now=utc_now())
    ask(api, portfolio, {"kind": "mode", "data": {"trading_mode": "many"}}, "k2")
    results = api.get(url_of(portfolio, "audit/")).json()["results"]
    assert [(entry["action"], entry["outcome"]) for entry in results] == [
        ("portfolio.mode", "refused"),
        ("portfolio.mode", "done"),
        ("portfolio.mode", "accepted"),
    ]
    assert results[1]["command_id"] == str(command.pk)
    done = api.get(url_of(portfolio, "audit/?outcome=done")).json()["results"]
    assert [entry["id"] for entry in done] == [results[1]["id"]]
