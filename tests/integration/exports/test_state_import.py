"""DAT-1: a state file becomes a paper portfolio with exact books; our own state comes back the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio, User
from allocation.models import CapitalAccount
from core.clock import utc_now
from core.errors import InputError
from engine.exports import export_open
from engine.import_models import StateImport
from engine.state_import import state_confirm, state_preview
from execution.models import Order
from execution.orders import order_submit
from positions.audit import books_audit
from positions.booking import fill_book
from positions.models import ExitGuard, Position, PositionSlice
from tests.integration.money.desk import WORLD, Desk, desk_open

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def desk(alice: User) -> Desk:
    """A world with prices of BTC and ETH, in which Alice has a desk."""
    opened = desk_open()
    opened.mark("100000")
    opened.mark("4000", "ETH")
    return opened


def file_of(**fields: Any) -> str:
    """Return a state file of version 1 in the desk's world."""
    rows = {"BTC": {"side": "long", "size": "0.1", "entry_price": "99000", "stop_loss": "97000"}}
    document = {"version": 1, "world": WORLD, "policy": "spot", "cash": "500.25", "positions": rows, **fields}
    return json.dumps(document)


def taken(owner: User, text: str, name: str = "Mine") -> Portfolio:
    """Preview and confirm."""
    return state_confirm(found=state_preview(owner=owner, text=text, now=utc_now()), name=name, now=utc_now())


def held(portfolio: Portfolio) -> dict[str, tuple[Decimal, Decimal]]:
    """Return quantity and cost by instrument."""
    rows = Position.objects.filter(portfolio=portfolio).exclude(status="closed").exclude(quantity=0)
    return {row.instrument_id: (row.quantity, row.cost) for row in rows}


def test_spot_books_are_what_the_file_says(desk: Desk, alice: User) -> None:
    """DAT-1: cash, quantity and cost to the last decimal; a tighter stop counts; the audit finds nothing."""
    portfolio = taken(alice, file_of())
    account = CapitalAccount.objects.get(pk=portfolio.pk)
    assert (account.cash, account.deployed, account.deposits_net) == (D("500.25"), D(9900), D("10400.25"))
    assert held(portfolio) == {"BTC": (D("0.1"), D(9900))}
    assert ExitGuard.objects.get(position__portfolio=portfolio).stop_price == D(97000)
    assert not Order.objects.filter(portfolio=portfolio).exclude(status="filled").exists()
    assert PositionSlice.objects.filter(position__portfolio=portfolio, follow__isnull=False).count() == 0
    assert books_audit(portfolio_id=portfolio.pk) == []
    report = StateImport.objects.get(portfolio=portfolio).report
    assert report["exits"] == ["BTC: stop 97000 is taken over."]


def test_a_looser_stop_is_told_and_the_own_stands(desk: Desk, alice: User) -> None:
    """EXT-2: a stop only ever tightens."""
    rows = {"BTC": {"size": "0.1", "entry_price": "99000", "stop_price": "70000"}}
    portfolio = taken(alice, file_of(positions=rows))
    assert ExitGuard.objects.get(position__portfolio=portfolio).stop_price == D("91080")
    (told,) = StateImport.objects.get(portfolio=portfolio).report["exits"]
    assert "was not taken over" in told


def test_perpetuals_keep_their_cash(desk: Desk, alice: User) -> None:
    """DAT-1: a short and a long; margin is behind them, cash is what the file says."""
    rows = {
        "BTC": {"side": "short", "size": "0.01", "entry_price": "100500.123456789012"},
        "ETH": {"side": "long", "size": "0.3333", "entry_price": "3999.99", "cost": "1333.19666700"},
    }
    portfolio = taken(alice, file_of(policy="perp", cash="5000", positions=rows))
    assert CapitalAccount.objects.get(pk=portfolio.pk).cash == D(5000)
    assert held(portfolio) == {
        "BTC": (D("-0.01"), D("-1005.00123457")),
        "ETH": (D("0.3333"), D("1333.196667")),
    }
    assert books_audit(portfolio_id=portfolio.pk) == []


def test_confirming_twice_makes_one_portfolio(desk: Desk, alice: User) -> None:
    """DAT-1: a second press leads to the first one's portfolio."""
    found = state_preview(owner=alice, text=file_of(), now=utc_now())
    first = state_confirm(found=found, name="Mine", now=utc_now())
    assert state_confirm(found=found, name="Other", now=utc_now()).pk == first.pk
    assert Portfolio.objects.filter(owner=alice).count() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"positions": {"NOPE": {"size": 1, "entry_price": 1}}},
        {"world": "replay:nowhere"},
        {"cash": 0, "positions": {}},
        {"cash": None},
        {"equity": "1"},
    ],
)
def test_what_has_a_fault_is_not_taken_over(desk: Desk, alice: User, fields: dict[str, Any]) -> None:
    """DAT-1: the preview says so, and confirming makes nothing."""
    if "equity" in fields:
        fields = fields | {"positions": {}}
    found = state_preview(owner=alice, text=file_of(**fields), now=utc_now())
    assert found.report["possible"] is False
    with pytest.raises(InputError, match="mended"):
        state_confirm(found=found, name="Mine", now=utc_now())
    assert Portfolio.objects.filter(owner=alice).count() == 1
    assert found.status == "previewed"


def test_our_own_state_comes_back_the_same(desk: Desk, alice: User) -> None:
    """DAT-1: exported and taken over: the same cash, quantities and costs, to the last decimal."""
    first, second = (follow.pk for follow in desk.follows)
    for side, price, parts in [
        ("BUY", "100000.1", {first: "0.007", second: "0.003"}),
        ("BUY", "100333.7", {first: "0.003"}),
    ]:
        size = str(sum(D(part) for part in parts.values()))
        order = desk.order(side, size, price, slices=dict(parts))
        order_submit(order_id=order.pk, now=desk.now)
        fill_book(order_id=order.pk, fill=desk.fill(order, size, price, "0.4512345"), now=desk.later())
    text = "".join(export_open(portfolio=desk.portfolio, what="state", ending="json", now=desk.now).chunks)
    portfolio = taken(alice, text, name="Again")
    assert held(portfolio) == held(desk.portfolio) != {}
    assert CapitalAccount.objects.get(pk=portfolio.pk).cash == desk.account.cash
    (shown,) = StateImport.objects.get(portfolio=portfolio).report["positions"]
    assert shown["traders"] == ["T1", "T2"]
    again = json.loads(
        "".join(export_open(portfolio=portfolio, what="state", ending="json", now=desk.now).chunks)
    )
    before = json.loads(text)
    assert again["cash"] == before["cash"]
    for name in ("side", "size", "entry_price", "cost"):
        assert again["positions"]["BTC"][name] == before["positions"]["BTC"][name]


# ---------------------------------------------------------------- doors
def test_from_the_page(desk: Desk, alice: User, charlie: User, client_of: Callable[[Any], Client]) -> None:
    """DAT-1, SEC-1: choose, look, confirm; Charlie sees nothing of it."""
    client = client_of(alice)
    upload = SimpleUploadedFile("state.json", file_of(mood="calm").encode())
    there = client.post(reverse("dashboard:imports"), {"file": upload})
    found = StateImport.objects.get()
    assert there["Location"] == reverse("dashboard:import", args=[found.pk])
    text = client.get(there["Location"]).content.decode()
    for words in ("$500.25", "$9,900.00", "$10,400.25", "mood", "Not understood"):
        assert words in text
    other = client_of(charlie)
    assert other.get(there["Location"]).status_code == 404
    assert other.post(there["Location"], {"name": "Stolen"}).status_code == 404
    assert b"500.25" not in other.get(reverse("dashboard:imports")).content
    assert client.post(there["Location"], {"name": "Desk"}).status_code == 400
    done = client.post(there["Location"], {"name": "Mine"})
    made = Portfolio.objects.get(name="Mine")
    assert done["Location"] == reverse("dashboard:portfolio", args=[made.pk])
    assert "Taken over" in client.get(there["Location"]).content.decode()


def test_a_bad_file_is_refused_on_the_page(alice: User, client_of: Callable[[Any], Client]) -> None:
    """DAT-1: the reason stands beside the field, and nothing is kept."""
    for body, words in [(b"{", "no JSON"), (b"\xff\xfe", "UTF-8"), (b"x" * 1_100_000, "1 MB")]:
        upload = SimpleUploadedFile("state.json", body)
        answer = client_of(alice).post(reverse("dashboard:imports"), {"file": upload})
        assert answer.status_code == 400
        assert words in answer.content.decode()
    assert StateImport.objects.count() == 0


def test_from_the_api(desk: Desk, alice: User, charlie: User, client_of: Callable[[Any], Client]) -> None:
    """API-1: the same two steps."""
    client = client_of(alice)
    made = client.post("/api/v1/imports/", file_of(), content_type="application/json")
    assert (made.status_code, made.json()["report"]["deposit"]) == (201, "10400.25")
    address = f"/api/v1/imports/{made.json()['id']}/"
    assert client_of(charlie).get(address).status_code == 404
    assert client_of(charlie).post(address, {"name": "x"}, content_type="application/json").status_code == 404
    done = client.post(address, {"name": "Mine"}, content_type="application/json").json()
    assert (done["status"], done["portfolio_id"]) == ("done", Portfolio.objects.get(name="Mine").pk)
    assert [row["id"] for row in client.get("/api/v1/imports/").json()["results"]] == [done["id"]]
    assert client_of(charlie).get("/api/v1/imports/").json()["results"] == []
    refused = client.post("/api/v1/imports/", '{"cash": NaN}', content_type="application/json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["file"])


def test_from_the_terminal(desk: Desk, alice: User, tmp_path: Path) -> None:
    """CLI-1: a dry run keeps nothing; without it the portfolio is there."""
    path, shown = tmp_path / "mine.json", StringIO()
    path.write_text(file_of(mood="calm"))
    call_command("state_import", str(path), "--owner", alice.email, "--dry-run", stdout=shown)
    assert "0.1 BTC at 99000" in shown.getvalue()
    assert "mood: Not understood" in shown.getvalue()
    assert (StateImport.objects.count(), Portfolio.objects.filter(owner=alice).count()) == (0, 1)
    call_command("state_import", str(path), "--owner", alice.email, stdout=shown)
    assert Portfolio.objects.get(name="mine").owner == alice
    path.write_text("{")
    with pytest.raises(CommandError, match="no JSON"):
        call_command("state_import", str(path), "--owner", alice.email)
