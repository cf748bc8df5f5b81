"""Capital over the API: asked for, waited for, given back, used; the owner's alone (CAP-1, CAP-3, SEC-1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal as D
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import AuditEntry, Portfolio, User
from allocation.models import BlockedUnderlying, Reservation
from allocation.reservations import capital_release, reservations_expire
from core.clock import utc_now
from engine.models import CycleState, Decision
from execution.models import Order
from markets.models import LIVE, Mark
from markets.services import world_ensure
from positions.audit import books_audit
from tests.api.conftest import post_json, problem, url_of
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db
ENTRY = {"instrument": "BTC", "side": "BUY", "quantity": "0.01", "limit_price": "100100"}


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's portfolio with 10,000, a world, and prices of this moment."""
    opened = desk_open()
    opened.now = utc_now()
    opened.world = world_ensure(name=LIVE, now=opened.now)
    Portfolio.objects.filter(pk=opened.pk).update(risk_profile="aggressive", world=LIVE)
    opened.portfolio.refresh_from_db()
    CycleState.objects.create(portfolio=opened.portfolio)
    opened.mark("100000")
    opened.mark("4000", "ETH")
    return opened


def ask(client: Client, desk: Desk, *, key: str = "", **more: Any) -> Any:
    body = {"instrument": "BTC", "amount": "1500", **more}
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(
        url_of(desk.pk, "capital/requests/"), body, content_type="application/json", headers=headers
    )


def one(desk: Desk, reservation_id: str, rest: str = "") -> str:
    return url_of(desk.pk, f"capital/requests/{reservation_id}/{rest}")


def test_a_request_is_granted_with_an_id_and_an_expiry(api: Client, desk: Desk) -> None:
    """CAP-1, CAP-3: the whole answer, and where the capital is now."""
    answer = ask(api, desk, priority="high", source="momentum 1.2", amount="1500.5")
    assert answer.status_code == 201
    body = answer.json()
    stored = Reservation.objects.get()
    assert stored.expires_at is not None
    assert stored.expires_at - stored.requested_at == timedelta(seconds=30)
    assert body == {
        "id": str(stored.pk),
        "status": "granted",
        "reason": "",
        "instrument": "BTC",
        "amount": "1500.5",
        "priority": "high",
        "source": "momentum 1.2",
        "requested_at": body["requested_at"],
        "wait_until": None,
        "granted_at": body["requested_at"],
        "expires_at": body["expires_at"],
        "settled_at": None,
        "order_id": None,
    }
    assert api.get(one(desk, body["id"])).json() == body
    assert api.get(url_of(desk.pk, "capital/")).json() == {
        "total": "10000",
        "allocated": "1500.5",
        "cash": "10000",
        "free": "8499.5",
        "reserved": "1500.5",
        "committed": "0",
        "deployed": "0",
        "deficit": "0",
        "granted": {"count": 1, "amount": "1500.5"},
        "waiting": {"count": 0, "amount": "0"},
    }


def test_too_much_is_denied_and_the_denial_is_kept(api: Client, desk: Desk) -> None:
    """CAP-1: denied is an answer, not an error."""
    answer = ask(api, desk, amount="10000.01")
    assert (answer.status_code, answer.json()["status"]) == (201, "denied")
    assert answer.json()["reason"] == "$10,000.01 needed, $10,000.00 free"


def test_waiting_is_served_and_seen(api: Client, desk: Desk) -> None:
    """CAP-1: a waiting request becomes granted while its owner asks again and again."""
    first = ask(api, desk, amount="9000").json()
    waiting = ask(api, desk, amount="5000", wait_s=60).json()
    assert waiting["status"] == "waiting"
    assert waiting["wait_until"] is not None
    assert api.get(url_of(desk.pk, "capital/")).json()["waiting"] == {"count": 1, "amount": "5000"}
    released = api.delete(one(desk, first["id"]))
    assert (released.status_code, released.json()["status"]) == (200, "released")
    assert api.get(one(desk, waiting["id"])).json()["status"] == "granted"
    again = api.delete(one(desk, first["id"]))
    assert (again.status_code, again.json()["status"]) == (200, "released"), "twice is harmless"
    assert books_audit() == []


def test_the_same_key_asks_once(api: Client, desk: Desk) -> None:
    """CAP-3: a repeat answers with the same request, and 200; another amount under it is refused."""
    first = ask(api, desk, key="k1")
    second = ask(api, desk, key="k1")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert Reservation.objects.count() == 1
    told = problem(ask(api, desk, key="k1", amount="1"))
    assert told["status"] == 400
    assert "another request needs a new key" in told["detail"]
    assert problem(ask(api, desk, key="k" * 81))["status"] == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "0.000000001"}, "amount"),
        ({"amount": "1000000000001"}, "amount"),
        ({"instrument": "NOPE"}, "instrument"),
        ({"priority": "urgent"}, "priority"),
        ({"wait_s": 301}, "wait_s"),
        ({"wait_s": -1}, "wait_s"),
        ({"source": "copy cycle"}, "source"),
        ({"source": "<b>"}, "source"),
        ({"source": "x" * 41}, "source"),
        ({"timeout_s": 3600}, "timeout_s"),
    ],
)
def test_senseless_requests_are_told_by_field(
    api: Client, desk: Desk, body: dict[str, Any], field: str
) -> None:
    """API-1: 400 with the field, and nothing stored."""
    told = problem(ask(api, desk, **body))
    assert (told["status"], list(told["errors"])) == (400, [field])
    assert not Reservation.objects.exists()


def test_a_halted_portfolio_grants_nothing(api: Client, desk: Desk) -> None:
    """RSK-2: a breaker stops entries where they begin."""
    before = ask(api, desk, key="before").json()
    Portfolio.objects.filter(pk=desk.pk).update(status="reducing", status_reason="daily loss 5 %")
    assert problem(ask(api, desk))["detail"].endswith("no capital is granted: daily loss 5 %.")
    assert ask(api, desk, key="before").json() == before, "what was asked before is answered as before"
    assert desk.account.reserved == 1500


def test_the_list_is_filtered_and_paged(api: Client, desk: Desk) -> None:
    """API-1."""
    for number in range(3):
        ask(api, desk, amount=str(1000 + number), source=f"s{number}")
    denied = ask(api, desk, amount="99999").json()["id"]
    url = url_of(desk.pk, "capital/requests/")
    page = api.get(url, {"limit": 2}).json()
    assert [entry["status"] for entry in page["results"]] == ["denied", "granted"]
    assert [entry["amount"] for entry in api.get(page["next"]).json()["results"]] == ["1001", "1000"]
    assert [entry["id"] for entry in api.get(url, {"status": "denied"}).json()["results"]] == [denied]
    assert len(api.get(url, {"status": "granted,denied"}).json()["results"]) == 4
    assert [entry["amount"] for entry in api.get(url, {"source": "s1"}).json()["results"]] == ["1001"]


# ---------------------------------------------------------------- using a grant
def test_a_grant_is_used_by_placing_an_order_through_us(api: Client, desk: Desk) -> None:
    """SPEC Capital: …/use/ attaches an order and stops the 30 s clock; it is the owner's own slice."""
    grant = ask(api, desk, source="momentum").json()
    answer = post_json(api, one(desk, grant["id"], "use/"), ENTRY)
    assert answer.status_code == 201, answer.json()
    order = Order.objects.get()
    assert answer.json()["id"] == order.pk
    assert (order.origin, order.side, order.quantity, order.limit_price, order.reduce_only) == (
        "outside",
        "BUY",
        D("0.01"),
        D(100100),
        False,
    )
    assert [(part.follow_id, part.quantity) for part in order.slices.all()] == [(None, D("0.01"))]
    used = api.get(one(desk, grant["id"])).json()
    assert (used["status"], used["order_id"]) == ("used", order.pk)
    assert reservations_expire(now=utc_now() + timedelta(minutes=5)) == []
    account = desk.account
    assert (account.free, account.reserved, account.committed) == (8500, 0, 1500)
    assert Decision.objects.get(kind="own").text == "Buy 0.01 BTC, asked for by momentum"
    told = list(AuditEntry.objects.order_by("id").values_list("action", "outcome", "via", "actor_name"))
    assert told == [
        ("capital.use", "accepted", "api", "alice@example.com"),
        ("capital.use", "done", "api", "alice@example.com"),
    ]
    assert books_audit() == []


def test_the_same_use_twice_is_one_order(api: Client, desk: Desk) -> None:
    """CAP-3: 200 with the same order; another order on it is a conflict, and so is giving it back."""
    grant = ask(api, desk).json()
    url = one(desk, grant["id"], "use/")
    first = post_json(api, url, ENTRY).json()
    again = post_json(api, url, ENTRY)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    other = problem(post_json(api, url, {**ENTRY, "quantity": "0.011"}))
    assert (other["status"], other["type"]) == (409, "urn:ensemble:problem:conflict")
    assert "was used for BUY 0.01 at 100100" in other["detail"]
    assert "cancel the order instead" in problem(api.delete(one(desk, grant["id"])))["detail"]
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"quantity": "0.04"}, "quantity", "$1,500.00 is reserved"),
        ({"instrument": "ETH"}, "instrument", "granted for BTC, not for ETH"),
        ({"quantity": "0.0000001"}, "quantity", "steps of 0.00001"),
        ({"quantity": "0.00009"}, "quantity", "below the venue's minimum"),
        ({"limit_price": "100100.01"}, "limit_price", "so many digits"),
        ({"limit_price": "120000"}, "limit_price", "20 % above the price"),
        ({"side": "HOLD"}, "side", "not a valid choice"),
        ({"quantity": "-1"}, "quantity", ""),
        ({"limit_price": "0"}, "limit_price", ""),
    ],
)
def test_an_entry_the_grant_or_the_venue_cannot_carry_is_refused(
    api: Client, desk: Desk, body: dict[str, str], field: str, says: str
) -> None:
    """CAP-1: 400 with the field; the grant stands on, and no order is stored."""
    grant = ask(api, desk).json()
    told = problem(post_json(api, one(desk, grant["id"], "use/"), {**ENTRY, **body}))
    assert (told["status"], list(told["errors"])) == (400, [field])
    assert says in told["detail"]
    assert not Order.objects.exists()
    assert api.get(one(desk, grant["id"])).json()["status"] == "granted"


def test_what_breakers_and_limits_forbid_is_refused(api: Client, desk: Desk) -> None:
    """RSK-1, RSK-2: between grant and use the world may turn; the refusal is kept for audit."""
    grant = ask(api, desk).json()
    url = one(desk, grant["id"], "use/")
    own = Portfolio.objects.filter(pk=desk.pk)
    own.update(status="halted", status_reason="drawdown 20 %")
    assert "drawdown 20 %" in problem(post_json(api, url, ENTRY))["detail"]
    own.update(status="active", status_reason="", risk_profile="conservative")
    assert "Your limits do not allow it" in problem(post_json(api, url, ENTRY))["detail"]
    own.update(risk_profile="aggressive")
    blocked = BlockedUnderlying.objects.create(portfolio=desk.portfolio, underlying="BTC")
    assert "Nothing is opened in BTC" in problem(post_json(api, url, ENTRY))["detail"]
    blocked.delete()
    Mark.objects.update(received_at=utc_now() - timedelta(minutes=1))
    assert "Nothing is opened in BTC" in problem(post_json(api, url, ENTRY))["detail"]
    assert not Order.objects.exists()
    assert AuditEntry.objects.filter(action="capital.use", outcome="refused").count() == 4
    assert desk.account.reserved == 1500


def test_a_grant_that_is_over_cannot_be_used(api: Client, desk: Desk) -> None:
    """CAP-1: expired, released, waiting, denied: 409, and nothing is ordered."""
    late, back, denied = (ask(api, desk).json()["id"] for _ in range(3))
    Reservation.objects.filter(pk=late).update(expires_at=utc_now() - timedelta(seconds=1))
    capital_release(reservation_id=back, now=utc_now())
    Reservation.objects.filter(pk=denied).update(status="denied", reason="for the test")
    waiting = ask(api, desk, amount="9900", wait_s=60).json()["id"]
    for reservation_id, says in [
        (late, "expired"),
        (back, "is released"),
        (denied, "is denied (for the test)"),
        (waiting, "is waiting"),
    ]:
        told = problem(post_json(api, one(desk, reservation_id, "use/"), ENTRY))
        assert told["status"] == 409
        assert says in told["detail"]
    assert not Order.objects.exists()


# ---------------------------------------------------------------- strangers
def test_charlie_sees_and_changes_nothing(
    api: Client, charlie: User, desk: Desk, api_of: Callable[[User], Client]
) -> None:
    """SEC-1: 404 everywhere, as for a portfolio that does not exist; without a token 401."""
    grant = ask(api, desk).json()["id"]
    stranger, nobody = api_of(charlie), Client()
    for rest in ("capital/", "capital/requests/", f"capital/requests/{grant}/"):
        assert problem(stranger.get(url_of(desk.pk, rest)))["status"] == 404
        assert problem(nobody.get(url_of(desk.pk, rest)))["status"] == 401
    assert problem(ask(stranger, desk))["status"] == 404
    assert problem(stranger.delete(one(desk, grant)))["status"] == 404
    assert problem(post_json(stranger, one(desk, grant, "use/"), ENTRY))["status"] == 404
    assert api.get(one(desk, grant)).json()["status"] == "granted"
    assert Reservation.objects.count() == 1


def test_a_reservation_of_another_portfolio_is_not_reached(
    api: Client, desk: Desk, bob: User, api_of: Callable[[User], Client]
) -> None:
    """SEC-1: Bob's own portfolio is no door to Alice's grants."""
    grant = ask(api, desk).json()["id"]
    bobs = desk_open(name="Bob's")
    Portfolio.objects.filter(pk=bobs.pk).update(owner=bob)
    theirs = api_of(bob)
    for answer in (
        theirs.get(one(bobs, grant)),
        theirs.delete(one(bobs, grant)),
        post_json(theirs, one(bobs, grant, "use/"), ENTRY),
        api.get(one(desk, str(uuid4()))),
    ):
        assert problem(answer)["status"] == 404
    assert api.get(one(desk, grant)).json()["status"] == "granted"
