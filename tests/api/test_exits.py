"""EXT-2, API-1: what closes positions, read and changed over the API, for its owner alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Portfolio, User
from core.clock import utc_now
from engine.commands import command_run
from engine.models import Command, ExitTrigger
from markets.models import Mark
from positions.models import ExitDefaults, ExitGuard, Position
from tests.api.conftest import patch_json, problem, url_of
from tests.api.making import everything_make, portfolio_make

RULES = {
    "stop_loss_pct": "8",
    "trail_from_pct": "12",
    "trail_by_pct": "5",
    "time_stop_days": "14",
    "take_profit": [],
}


@pytest.fixture
def full(alice: User) -> Portfolio:
    """A portfolio with one position in BTC: entry and mark 107,000, stop 98,440."""
    made = everything_make(owner=alice)
    ExitTrigger.objects.update(status="done")
    ExitDefaults.objects.all().delete()
    return made


@pytest.fixture
def position(full: Portfolio) -> Position:
    return Position.objects.get(portfolio=full)


def exits_url(portfolio: Portfolio, position: Position | int) -> str:
    number = position if isinstance(position, int) else position.pk
    return url_of(portfolio, f"positions/{number}/exits/")


def run(response: Any) -> Command:
    """Carry out the command that was accepted."""
    assert response.status_code == 202, response.content
    command_run(command_id=response.json()["id"], now=utc_now())
    return Command.objects.get(pk=response.json()["id"])


def put(client: Client, url: str, body: Any) -> Any:
    return client.put(url, json.dumps(body), content_type="application/json")


def test_levels_are_read_with_their_distances(api: Client, full: Portfolio, position: Position) -> None:
    """EXT-2: signed percent of the mark; null where there is no such level, or no price."""
    ExitGuard.objects.update(take_profit=[{"gain_pct": "10", "fraction_pct": "50"}])
    body = api.get(exits_url(full, position)).json()
    assert (body["position_id"], body["code"], body["mark_price"]) == (position.pk, "BTC", "107000")
    assert (body["exits"]["stop"], body["exits"]["rules"]["stop_loss_pct"]) == ("98440", "8")
    assert body["distances_pct"] == {
        "stop": "-8.00",
        "trail": None,
        "activation": "12.00",
        "target": "10.00",
    }
    Mark.objects.all().delete()
    bare = api.get(exits_url(full, position)).json()
    assert (bare["mark_price"], bare["distances_pct"]["stop"]) == (None, None)
    ExitGuard.objects.update(ended_at=utc_now())
    flat = api.get(exits_url(full, position)).json()
    assert (flat["exits"], flat["distances_pct"]) == (None, None)


def test_exits_are_changed_by_patch(api: Client, full: Portfolio, position: Position) -> None:
    """EXT-2: 202 with the command; once it ran the levels are there. The same key is the same wish."""
    url = exits_url(full, position)
    body = json.dumps({"stop_price": "100000.5"})
    answers = [
        api.patch(url, body, content_type="application/json", headers={"Idempotency-Key": "mine"})
        for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    command = run(answers[0])
    assert (command.kind, command.via, command.status) == ("exits", "api", "done")
    assert api.get(url).json()["exits"]["stop"] == "100000.5"
    later = run(patch_json(api, url, {"use_defaults": True}))
    assert later.result["notes"] == ["The stop stays at 100000.5, since a stop only tightens."]
    loose = problem(patch_json(api, url, {"stop_price": "99000"}))
    assert loose["errors"] == {
        "stop_price": ["A stop only tightens: the stop stands at 100000.5, and 99000 is further away."]
    }
    assert ExitGuard.objects.get().stop_price == Decimal("100000.5")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stop_price": "-1"}, "stop_price"),
        ({"stop_price": 98000.5}, "stop_price"),
        ({"stop_los_pct": "5"}, "stop_los_pct"),
        ({"position_id": 1, "stop_price": "100000"}, "position_id"),
        ({"take_profit": [{"gain_pct": "10", "fraction_pct": "101.00001"}]}, "take_profit"),
        ({"take_profit": [{"price": "107000", "fraction_pct": "50"}]}, "take_profit"),
        ({"stop_price": "107000"}, "stop_price"),
        ({"stop_loss_pct": "100"}, "stop_loss_pct"),
        ({"trail_by_pct": "0", "trail_from_pct": "5"}, "trail_by_pct"),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: Client, full: Portfolio, position: Position, body: Any, field: str
) -> None:
    """API-1: 400 at its field, and no command."""
    before = Command.objects.count()
    response = patch_json(api, exits_url(full, position), body)
    assert response.status_code == 400
    assert list(problem(response)["errors"]) == [field]
    assert Command.objects.count() == before
    assert patch_json(api, exits_url(full, position), [1]).status_code == 400


def test_defaults_are_read_and_put(api: Client, full: Portfolio) -> None:
    """EXT-2: the server's until they are set; a PUT names every rule."""
    url = url_of(full, "exit-defaults/")
    assert api.get(url).json() == {"own": False, "rules": RULES, "stops_at_venue": False, "warnings": []}
    steps = [{"gain_pct": "20", "fraction_pct": "100"}]
    wanted = {**RULES, "stop_loss_pct": "0", "take_profit": steps, "stops_at_venue": True}
    assert run(put(api, url, wanted)).status == "done"
    assert api.get(url).json() == {
        "own": True,
        "rules": {**RULES, "stop_loss_pct": "0", "take_profit": steps},
        "stops_at_venue": True,
        "warnings": ["There is no stop loss: nothing closes it when it falls."],
    }
    partial = put(api, url, {"stop_loss_pct": "5"})
    assert set(problem(partial)["errors"]) == set(RULES) - {"stop_loss_pct"}
    senseless = put(api, url, {**RULES, "stop_loss_pct": "100"})
    assert list(problem(senseless)["errors"]) == ["stop_loss_pct"]
    assert ExitDefaults.objects.get().stop_loss_pct == 0


def test_what_was_closed_is_listed_newest_first(api: Client, full: Portfolio, position: Position) -> None:
    """API-1: kind, price, level and order of each, filtered and in pages."""
    first = ExitTrigger.objects.get()
    second = ExitTrigger.objects.create(
        portfolio=full, position=position, kind="take_profit", fraction="0.5", price=117_800, level=117_700,
        seen_at=utc_now(), world_at=utc_now(), status="working", text="Half of it is being sold",
    )  # fmt: skip
    url = url_of(full, "exits/")
    newest, oldest = api.get(url).json()["results"]
    assert (newest["id"], newest["kind"], newest["fraction_pct"], newest["text"]) == (
        second.pk, "take_profit", "50", "Half of it is being sold",
    )  # fmt: skip
    assert (oldest["id"], oldest["kind"], oldest["price"], oldest["level"], oldest["order_id"]) == (
        first.pk, "stop_loss", "98000", "98440", first.order_id,
    )  # fmt: skip
    assert (oldest["position_id"], oldest["code"], oldest["found_by"]) == (position.pk, "BTC", "watch")
    for query, wanted in (
        ("kind=stop_loss", [first.pk]),
        ("status=working,waiting", [second.pk]),
        ("underlying=ETH", []),
        (f"position={position.pk}", [second.pk, first.pk]),
        ("since=2100-01-01T00:00:00Z", []),
    ):
        results = api.get(f"{url}?{query}").json()["results"]
        assert [entry["id"] for entry in results] == wanted


def test_outsiders_find_nothing(
    full: Portfolio, position: Position, bob: User, charlie: User, api_of: Callable[[User], Client]
) -> None:
    """SEC-1: another's exits are neither seen nor changed, and a position only through its own portfolio."""
    before, commands = ExitGuard.objects.values().get(), Command.objects.count()
    for outsider in (bob, charlie):
        client = api_of(outsider)
        for rest in (f"positions/{position.pk}/exits/", "exit-defaults/", "exits/"):
            assert client.get(url_of(full, rest)).status_code == 404
        assert patch_json(client, exits_url(full, position), {"stop_price": "100000"}).status_code == 404
        assert put(client, url_of(full, "exit-defaults/"), RULES).status_code == 404
        own = portfolio_make(owner=outsider, name="Another")
        assert client.get(exits_url(own, position)).status_code == 404
        assert patch_json(client, exits_url(own, position), {"stop_price": "100000"}).status_code == 404
    assert Client().get(exits_url(full, position)).status_code == 401
    assert ExitGuard.objects.filter(pk=position.pk).values().get() == before
    assert Command.objects.filter(portfolio=full).count() == commands
    assert not AuditEntry.objects.filter(portfolio_id=full.pk, action="position.exits").exists()


def test_numbers_that_no_position_has(api: Client, full: Portfolio) -> None:
    """API-1: 404, however large."""
    for number in (10**6, 2**63, 10**30):
        assert api.get(exits_url(full, number)).status_code == 404
        assert patch_json(api, exits_url(full, number), {"stop_price": "5"}).status_code == 404
