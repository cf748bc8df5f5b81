"""API-1: what the pages show of books, conflicts, risk and settings, and change, an API client can too."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from django.test import Client

from accounts.models import Portfolio, User
from allocation.models import CapitalAccount, LedgerEntry
from core.clock import utc_now
from engine.models import Command, ExitTrigger
from execution.models import Fill
from markets.models import LIVE
from markets.services import world_ensure
from positions.models import ConflictApproval, ConflictRecord, Position
from tests.api.conftest import LIST, patch_json, post_json, problem, url_of
from tests.api.making import everything_make, portfolio_make

KEY = {"Idempotency-Key": "one"}


@pytest.fixture
def full(alice: User) -> Portfolio:
    """Alice's portfolio with one of everything."""
    return everything_make(owner=alice)


def results(client: Client, url: str) -> list[dict[str, Any]]:
    """Return the entries of a list."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def read(client: Client, url: str) -> dict[str, Any]:
    """Return what is there."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_portfolio_is_opened(api: Client, alice: User) -> None:
    """API-1: as on the page, with the server's paper cash; a name that is taken is refused."""
    answer = post_json(api, LIST, {"name": "Second", "policy": "perp", "risk_profile": "balanced"})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["name"], body["policy"], body["equity"], body["world"]) == ("Second", "perp", "10000", None)
    assert CapitalAccount.objects.get(portfolio_id=body["id"]).free == D(10_000)
    assert "name" in problem(post_json(api, LIST, {"name": "second"}))["errors"]
    assert Portfolio.objects.filter(owner=alice).count() == 1


def test_an_unchanged_portfolio_is_not_sent_again(api: Client, full: Portfolio) -> None:
    """API-1: with its ETag the answer is 304; after a change it is whole again."""
    first = api.get(url_of(full))
    tag = first.headers["ETag"]
    again = api.get(url_of(full), headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    Portfolio.objects.filter(pk=full.pk).update(name="Renamed")
    assert api.get(url_of(full), headers={"If-None-Match": tag}).status_code == 200


def test_settings_are_read_and_changed(api: Client, full: Portfolio) -> None:
    """API-1: what is named changes, the rest stays; nonsense changes nothing."""
    url = url_of(full, "settings/")
    before = api.get(url).json()
    assert (before["name"], before["blocked"]) == ("Four models", ["DOGE"])
    changed = patch_json(api, url, {"name": "Five", "auto_rebalance": True})
    assert changed.json() == before | {"name": "Five", "auto_rebalance": True}
    for body in ({}, {"policy": "margin"}, {"dry_run": True}, {"name": ""}):
        assert patch_json(api, url, body).status_code == 400
    assert api.get(url).json() == changed.json()


def test_rules_and_blocks_of_single_instruments(api: Client, full: Portfolio) -> None:
    """CON-2: set, changed, taken back; the others stay as they are. Names that are none are refused."""
    rule, block = url_of(full, "conflict-rules/SOL/"), url_of(full, "blocked/xyz:TSLA/")
    before = api.get(url_of(full, "settings/")).json()["conflict_rules"]
    put = api.put(rule, {"rule": "first"}, content_type="application/json")
    assert put.json()["conflict_rules"] == before | {"SOL": "first"}
    assert api.put(block).json()["blocked"] == ["DOGE", "xyz:TSLA"]
    assert api.delete(rule).json()["conflict_rules"] == before
    assert api.delete(rule).status_code == 200
    assert api.delete(block).json()["blocked"] == ["DOGE"]
    wrong = api.put(url_of(full, "blocked/b t c/"))
    assert wrong.status_code == 400
    assert api.put(rule, {"rule": "loudest"}, content_type="application/json").status_code == 400


def test_limits_are_read_and_asked_for(api: Client, full: Portfolio) -> None:
    """RSK-1: fractions as text; a change is a command, and nonsense is refused at once."""
    url = url_of(full, "limits/")
    body = api.get(url).json()
    assert (body["profile"], body["values"]["max_position"]) == ("balanced", "0.25")
    assert body["values"]["losses_in_a_row"] == "5"
    answer = patch_json(api, url, {"max_position": "0.1"})
    assert answer.status_code == 202
    asked = Command.objects.get(pk=answer.json()["id"])
    assert (asked.kind, asked.data) == ("limits", {"max_position": "0.1"})
    assert "max_position" in problem(patch_json(api, url, {"max_position": "7"}))["errors"]


def test_paper_cash_moves_exactly_once(api: Client, alice: User) -> None:
    """API-1: deposit and withdrawal to the cent; the same key again moves nothing."""
    fresh = portfolio_make(owner=alice, name="Fresh")
    url = url_of(fresh, "cash/deposit/")
    free = CapitalAccount.objects.get(portfolio=fresh).free
    first = api.post(url, {"amount": "250.50"}, content_type="application/json", headers=KEY)
    again = api.post(url, {"amount": "250.50"}, content_type="application/json", headers=KEY)
    assert first.json() == again.json()
    assert D(first.json()["free"]) == free + D("250.5")
    assert CapitalAccount.objects.get(portfolio=fresh).free == free + D("250.5")
    taken = post_json(api, url_of(fresh, "cash/withdraw/"), {"amount": "0.01"})
    assert D(taken.json()["free"]) == free + D("250.49")
    for amount in ("0", "-1", "0.001", "1e10", "NaN"):
        assert post_json(api, url, {"amount": amount}).status_code == 400
    booked = results(api, url_of(fresh, "ledger/?kind=deposit,withdrawal"))
    assert [entry["amount"] for entry in booked[:2]] == ["-0.01", "250.5"]


def test_starting_over_asks_for_the_name(api: Client, alice: User) -> None:
    """API-1: nobody resets by accident; with something open it is refused."""
    empty = portfolio_make(owner=alice, name="Fresh")
    url = url_of(empty, "cash/reset/")
    assert "confirm" in problem(post_json(api, url, {"amount": "500", "confirm": "Frish"}))["errors"]
    assert CapitalAccount.objects.get(portfolio=empty).free == D(10_000)
    assert post_json(api, url, {"amount": "500", "confirm": "Fresh"}).json()["free"] == "500"


def test_positions_open_and_closed(api: Client, full: Portfolio) -> None:
    """API-1: signed quantities, the slices of each, and one whole with exits, triggers and orders."""
    (listed,) = results(api, url_of(full, "positions/?open=true"))
    position = Position.objects.get(portfolio=full)
    assert (listed["id"], D(listed["quantity"])) == (position.pk, position.quantity)
    assert sum(D(part["quantity"]) for part in listed["slices"]) == position.quantity
    assert results(api, url_of(full, "positions/?open=false")) == []
    assert results(api, url_of(full, "positions/closed/")) == []
    whole = api.get(url_of(full, f"positions/{position.pk}/")).json()
    assert whole["position"] == listed
    assert len(whole["triggers"]) == ExitTrigger.objects.filter(position=position).count()
    assert api.get(url_of(full, f"positions/{10**30}/")).status_code == 404
    assert api.get(url_of(full, f"positions/{position.pk}/candles/?since=soon")).status_code == 400


def test_fills_with_their_orders(api: Client, full: Portfolio) -> None:
    """API-1: every execution, with what it cost against the trader's own price."""
    (listed,) = results(api, url_of(full, "fills/?underlying=BTC"))
    fill = Fill.objects.get()
    assert (listed["order_id"], listed["side"], listed["price"]) == (fill.order_id, "BUY", "107000")
    assert len(listed["fidelity"]) == fill.fidelity.count()
    assert results(api, url_of(full, "fills/?underlying=ETH")) == []


def test_conflicts_and_what_waits(api: Client, full: Portfolio) -> None:
    """CON-3, CON-4: the record as it was kept, each rule's outcome, and the answer as a command."""
    record = ConflictRecord.objects.get(portfolio=full)
    (listed,) = results(api, url_of(full, "conflicts/"))
    assert (listed["id"], D(listed["after_quantity"])) == (record.pk, record.after_quantity)
    whole = api.get(url_of(full, f"conflicts/{record.underlying}/")).json()
    assert [outcome["rule"] for outcome in whole["outcomes"]] == ["combine", "largest", "first"]
    assert whole["records"] == [listed]
    assert api.get(url_of(full, "conflicts/NOPE/")).status_code == 404
    approval = ConflictApproval.objects.get(portfolio=full)
    ConflictApproval.objects.update(status="waiting")
    assert [row["id"] for row in results(api, url_of(full, "approvals/?status=waiting"))] == [approval.pk]
    answer = post_json(api, url_of(full, f"approvals/{approval.pk}/approve/"), {"rule": "first"})
    assert answer.status_code == 202
    assert Command.objects.get(pk=answer.json()["id"]).data == {"approval_id": approval.pk, "rule": "first"}
    assert post_json(api, url_of(full, f"approvals/{approval.pk + 1}/reject/"), {}).status_code == 400


def test_risk_and_trips(api: Client, full: Portfolio) -> None:
    """RSK-1, RSK-2: every limit with its use; the trips, and lifting one asks for a reason."""
    world_ensure(name=LIVE, now=utc_now())
    Portfolio.objects.filter(pk=full.pk).update(world=LIVE)  # one whose candles can be read
    body = read(api, url_of(full, "risk/"))
    assert [use["label"] for use in body["uses"]][:2] == ["Largest position", "Largest asset"]
    assert {gauge["kind"] for gauge in body["breakers"]["gauges"]} >= {"daily_loss", "drawdown"}
    (trip,) = results(api, url_of(full, "trips/?kind=daily_loss"))
    assert (trip["effect"], trip["reset_reason"]) == ("reducing", "A new day")
    refused = post_json(api, url_of(full, f"trips/{trip['id']}/reset/"), {})
    assert list(problem(refused)["errors"]) == ["reason"]


def test_traders_before_they_are_followed(api: Client, full: Portfolio) -> None:
    """FOL-1: the catalogue, the preview with what would be copied, and the card of a followed one."""
    groups = api.get(url_of(full, "catalogue/")).json()["results"]
    assert {trader["kind"] for group in groups for trader in group["traders"]} >= {"replay", "strategy"}
    preview = url_of(full, "trader-preview/")
    assert list(problem(api.get(preview))["errors"]) == ["kind", "key"]
    follow = full.follows.get()
    card = api.get(url_of(full, f"follows/{follow.pk}/card/")).json()
    assert (card["follow_id"], card["key"]) == (follow.pk, follow.trader.key)


def test_a_recorded_trader_is_previewed(api: Client, alice: User) -> None:
    """FOL-1, BEY-4: equity, positions in our size, and how much of the book could be copied."""
    fresh = portfolio_make(owner=alice, name="Fresh")
    body = read(api, url_of(fresh, "trader-preview/?kind=replay&key=deepseek-chat-v3.1"))
    assert (body["kind"], body["key"], body["barrier"]) == ("replay", "deepseek-chat-v3.1", "")
    assert D(body["share"]) == D(10_000)
    assert all(set(line) >= {"code", "side", "ours", "joins"} for line in body["positions"])
    assert "key" in problem(api.get(url_of(fresh, "trader-preview/?kind=replay&key=nobody")))["errors"]


def test_who_one_is(api: Client, alice: User) -> None:
    """API-1: language and zone are changed; a zone that is none is refused."""
    assert api.get("/api/v1/me/").json()["email"] == "alice@example.com"
    changed = patch_json(api, "/api/v1/me/", {"language": "pl", "time_zone": "Europe/Warsaw"})
    assert (changed.json()["language"], changed.json()["time_zone"]) == ("pl", "Europe/Warsaw")
    for body in ({}, {"time_zone": "Warsaw"}, {"language": "xx"}, {"role": "admin"}):
        assert patch_json(api, "/api/v1/me/", body).status_code == 400
    alice.refresh_from_db()
    assert (alice.language, alice.time_zone, alice.role) == ("pl", "Europe/Warsaw", "user")


def test_equity_and_ledger(api: Client, full: Portfolio) -> None:
    """API-1: the curves, and every booking newest first."""
    assert set(api.get(url_of(full, "equity/")).json()) == {"run", "note", "points", "traders"}
    booked = results(api, url_of(full, "ledger/"))
    assert [entry["id"] for entry in booked] == list(
        LedgerEntry.objects.filter(portfolio=full).order_by("-id").values_list("id", flat=True)
    )
