"""FOL-1 over the API: following, pausing, moving and leaving traders."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Portfolio, User
from allocation.models import Follow
from engine.models import CycleState, Decision
from tests.api.conftest import patch_json, post_json, problem, url_of
from tests.api.making import follow_make, portfolio_make, trader_make


def test_follows_are_listed_in_their_order(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: what is followed, with the share of capital; what was removed is not listed."""
    gone = follow_make(portfolio=portfolio, trader=trader_make(key="gone"), place=2, weight=0)
    Follow.objects.filter(pk=gone.pk).update(status="removed")
    body = api.get(url_of(portfolio, "follows/")).json()
    assert body["count"] == 1
    (entry,) = body["results"]
    assert entry["trader"]["name"] == "Deepseek"
    assert entry["trader"]["key"] == "deepseek"
    assert (entry["status"], entry["place"], entry["hue"], entry["weight"]) == ("active", 1, 1, "1.0000")
    assert api.get(url_of(portfolio, f"follows/{entry['id']}/")).json() == entry


def test_following_recorded_traders_splits_the_capital(api: Client, alice: User) -> None:
    """FOL-1, ALL-1: each new trader is added at the end and the shares are split anew, summing to 1."""
    from traders.services import catalogue

    fresh = portfolio_make(owner=alice, name="Fresh")
    keys = [trader.key for trader in catalogue() if trader.world == "replay:alpha_arena"][:3]
    for place, key in enumerate(keys, start=1):
        answer = post_json(api, url_of(fresh, "follows/"), {"kind": "replay", "key": key})
        assert answer.status_code == 201, answer.content
        assert answer.json()["place"] == place
        assert answer.json()["join_mode"] == "new_only"
    weights = [entry["weight"] for entry in api.get(url_of(fresh, "follows/")).json()["results"]]
    assert weights == ["0.3333", "0.3333", "0.3334"]
    assert api.get(url_of(fresh)).json()["portfolio"]["world"] == "replay:alpha_arena"
    assert CycleState.objects.get(portfolio=fresh).wanted_at is not None
    assert Decision.objects.filter(portfolio=fresh, kind="follow").count() == 3


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "kind", "This field is required."),
        ({"kind": "oracle", "key": "x"}, "kind", '"oracle" is not a valid choice.'),
        ({"kind": "replay", "key": ""}, "key", "This field may not be blank."),
        ({"kind": "replay", "key": "x" * 121}, "key", "Ensure this field has no more than 120 characters."),
        ({"kind": "replay", "key": "k", "join_mode": "all"}, "join_mode", '"all" is not a valid choice.'),
        ({"kind": "replay", "key": "k", "weight": 1}, "weight", "There is no such field."),
    ],
)
def test_a_malformed_follow_names_its_field(
    api: Client, portfolio: Portfolio, body: Any, field: str, sentence: str
) -> None:
    """FOL-1: what is wrong is said at the field; nothing is followed."""
    answer = post_json(api, url_of(portfolio, "follows/"), body)
    assert answer.status_code == 400
    assert problem(answer)["errors"][field] == [sentence]
    assert Follow.objects.count() == 1


def test_the_services_own_refusals_reach_the_caller(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: a bad address, an unknown recorded trader, another world: each has its sentence."""
    url = url_of(portfolio, "follows/")
    address = problem(post_json(api, url, {"kind": "hyperliquid", "key": "0x12"}))
    assert "is not a wallet address" in address["errors"]["key"][0]
    unknown = post_json(api, url, {"kind": "replay", "key": "nobody"})
    assert unknown.status_code in (400, 404)
    assert problem(unknown)["detail"]
    world = problem(post_json(api, url, {"kind": "hyperliquid", "key": "0x" + "a1" * 20}))
    assert world["status"] == 400
    assert "replay:still" in world["errors"]["key"][0]
    assert Follow.objects.count() == 1


def test_an_eleventh_trader_is_refused(api: Client, alice: User) -> None:
    """FOL-1: ten is the most, and the sentence says what to do."""
    full = portfolio_make(owner=alice, name="Full")
    for place in range(1, 11):
        trader = trader_make(key=f"trader{place}")
        trader.world = "live"
        trader.save()
        follow_make(portfolio=full, trader=trader, place=place, weight=0)
    answer = post_json(api, url_of(full, "follows/"), {"kind": "hyperliquid", "key": "0x" + "a1" * 20})
    assert answer.status_code == 400
    assert problem(answer)["detail"] == (
        "key: You follow 10 traders already, which is the most a portfolio can hold. "
        "Remove one first, or follow this one in another portfolio."
    )
    assert Follow.objects.filter(portfolio=full).count() == 10


def test_pause_resume_and_move(api: Client, portfolio: Portfolio) -> None:
    """FOL-1, ALL-1: a paused trader's share goes to the others; places follow the order asked for."""
    first = Follow.objects.get()
    second = follow_make(portfolio=portfolio, trader=trader_make(key="qwen"), place=2, weight=0)
    third = follow_make(portfolio=portfolio, trader=trader_make(key="grok"), place=3, weight=0)

    paused = patch_json(api, url_of(portfolio, f"follows/{first.pk}/"), {"status": "paused"})
    assert (paused.status_code, paused.json()["status"], paused.json()["weight"]) == (200, "paused", "0.0000")
    assert [f.weight for f in (second, third) if f.refresh_from_db() is None] == [0.5, 0.5]
    again = patch_json(api, url_of(portfolio, f"follows/{first.pk}/"), {"status": "paused"})
    assert (again.status_code, again.json()["status"]) == (200, "paused")

    resumed = patch_json(api, url_of(portfolio, f"follows/{first.pk}/"), {"status": "active", "place": 3})
    assert (resumed.json()["status"], resumed.json()["place"]) == ("active", 3)
    order = [entry["id"] for entry in api.get(url_of(portfolio, "follows/")).json()["results"]]
    assert order == [second.pk, third.pk, first.pk]
    assert patch_json(api, url_of(portfolio, f"follows/{third.pk}/"), {"place": 10}).json()["place"] == 3


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"status": "leaving"}, {"status": ['"leaving" is not a valid choice.']}),
        ({"place": 0}, {"place": ["Ensure this value is greater than or equal to 1."]}),
        ({"place": 11}, {"place": ["Ensure this value is less than or equal to 10."]}),
        ({"place": "first"}, {"place": ["A valid integer is required."]}),
        ({"weight": "0.5"}, {"weight": ["There is no such field."]}),
    ],
)
def test_a_malformed_change_changes_nothing(
    api: Client, portfolio: Portfolio, body: Any, errors: Any
) -> None:
    """FOL-1: refused with the field, and the follow is as it was."""
    follow = Follow.objects.get()
    answer = patch_json(api, url_of(portfolio, f"follows/{follow.pk}/"), body)
    assert answer.status_code == 400
    assert problem(answer)["errors"] == errors
    empty = patch_json(api, url_of(portfolio, f"follows/{follow.pk}/"), {})
    assert problem(empty)["detail"] == "Name what to change: status, place or style_action."
    after = Follow.objects.get()
    assert (after.status, after.place, after.weight) == (follow.status, follow.place, follow.weight)


@pytest.mark.parametrize("positions", ["close", "keep"])
def test_leaving_a_trader(api: Client, portfolio: Portfolio, positions: str) -> None:
    """FOL-1: its positions are closed, or handed over; asking twice is harmless."""
    follow = Follow.objects.get()
    url = url_of(portfolio, f"follows/{follow.pk}/?positions={positions}")
    answer = api.delete(url)
    assert answer.status_code == 202
    assert answer.json()["status"] in ("leaving", "removed")
    assert answer.json()["weight"] == "0.0000"
    assert api.delete(url).status_code in (202, 404)
    refused = patch_json(api, url_of(portfolio, f"follows/{follow.pk}/"), {"status": "active"})
    assert refused.status_code in (400, 404)
    follow.refresh_from_db()
    assert follow.status in ("leaving", "removed")


def test_leaving_with_a_misspelt_wish_does_nothing(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: it is not guessed what should become of the positions."""
    follow = Follow.objects.get()
    for query, field in (("positions=sell", "positions"), ("position=keep", "position")):
        answer = api.delete(url_of(portfolio, f"follows/{follow.pk}/?{query}"))
        assert answer.status_code == 400
        assert field in problem(answer)["errors"]
    assert Follow.objects.get().status == "active"


def put_weights(api: Client, portfolio: Portfolio, body: Any) -> Any:
    return api.put(url_of(portfolio, "weights/"), body, content_type="application/json")


def two_followed(portfolio: Portfolio) -> tuple[Follow, Follow]:
    first = Follow.objects.get(portfolio=portfolio)
    second = follow_make(portfolio=portfolio, trader=trader_make(key="qwen"), place=2, weight=0)
    return first, second


def test_capital_is_split_by_chosen_percentages_and_equally_again(api: Client, portfolio: Portfolio) -> None:
    """ALL-2: 62.5 and 37.5; pausing gives one all of it, resuming gives it back; equal is 50 and 50."""
    first, second = two_followed(portfolio)
    chosen = {"weighting": "custom", "weights": {str(first.pk): "62.5", str(second.pk): "37.5"}}
    answer = put_weights(api, portfolio, chosen)
    assert answer.status_code == 200, answer.content
    assert [entry["weight"] for entry in answer.json()["results"]] == ["0.6250", "0.3750"]
    assert api.get(url_of(portfolio)).json()["portfolio"]["weighting"] == "custom"
    cycle = CycleState.objects.get(portfolio=portfolio)
    assert (cycle.wanted_why, cycle.forced_all) == ("weights changed", True)
    note = Decision.objects.get(portfolio=portfolio, text="Capital split by your percentages")
    assert note.reason == "Deepseek 62.5 %, Qwen 37.5 %"

    paused = patch_json(api, url_of(portfolio, f"follows/{first.pk}/"), {"status": "paused"})
    assert paused.json()["weight"] == "0.0000"
    assert Follow.objects.get(pk=second.pk).weight == 1
    resumed = patch_json(api, url_of(portfolio, f"follows/{first.pk}/"), {"status": "active"})
    assert resumed.json()["weight"] == "0.6250"

    equal = put_weights(api, portfolio, {"weighting": "equal"})
    assert [entry["weight"] for entry in equal.json()["results"]] == ["0.5000", "0.5000"]
    assert not Follow.objects.exclude(custom_weight=None).exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weighting": "custom"}, "weights"),
        ({"weighting": "custom", "weights": {}}, "weights"),
        ({"weighting": "custom", "weights": {"x": "100"}}, "weights"),
        ({"weighting": "custom", "weights": {"1": "33.333"}}, "weights.1"),
        ({"weighting": "custom", "weights": {"999999": "100"}}, "weights"),
        ({"weighting": "equal", "weights": {"1": "100"}}, "weights"),
        ({"weighting": "fair"}, "weighting"),
    ],
)
def test_a_split_that_makes_no_sense_changes_nothing(
    api: Client, portfolio: Portfolio, body: Any, field: str
) -> None:
    """ALL-2: the field is named and the weights stay."""
    answer = put_weights(api, portfolio, body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"], answer.json()
    assert Follow.objects.get(portfolio=portfolio).weight == 1
    assert Portfolio.objects.get(pk=portfolio.pk).weighting == "equal"


def test_nobody_splits_anothers_capital(api_of: Any, portfolio: Portfolio, charlie: User) -> None:
    """SEC-1: to Charlie it is not there."""
    follow = Follow.objects.get(portfolio=portfolio)
    body = {"weighting": "custom", "weights": {str(follow.pk): "100"}}
    assert put_weights(api_of(charlie), portfolio, body).status_code == 404
    assert Portfolio.objects.get(pk=portfolio.pk).weighting == "equal"


def test_who_joins_under_chosen_percentages_gets_its_part_from_all(api: Client, alice: User) -> None:
    """ALL-2: 80 and 20 become 53.33, 13.33 and 33.34; who leaves gives its part back pro rata."""
    from traders.services import catalogue

    fresh = portfolio_make(owner=alice, name="Fresh")
    keys = [trader.key for trader in catalogue() if trader.world == "replay:alpha_arena"][:3]

    def follow(key: str) -> int:
        return int(post_json(api, url_of(fresh, "follows/"), {"kind": "replay", "key": key}).json()["id"])

    def weights() -> list[str]:
        return [entry["weight"] for entry in api.get(url_of(fresh, "follows/")).json()["results"]]

    first, second = follow(keys[0]), follow(keys[1])
    chosen = {"weighting": "custom", "weights": {str(first): "80", str(second): "20"}}
    assert put_weights(api, fresh, chosen).status_code == 200
    follow(keys[2])
    assert weights() == ["0.5333", "0.1333", "0.3334"]
    api.delete(url_of(fresh, f"follows/{first}/"))
    assert weights() == ["0.0000", "0.2857", "0.7143"]
