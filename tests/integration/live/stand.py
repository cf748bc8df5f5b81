"""A stand-in for a real exchange: the paper venue under another name, with rules and fees of its own.

It keeps what a person holds there beside us, and can be away.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from accounts.models import Credential, LiveAccount, Portfolio, User
from core.clock import Clock
from core.errors import RetryLater
from execution import venues
from execution.accounts import AccountCheck, AccountLook, CoinBalance, HeldPosition
from execution.desks import portfolio_of
from execution.models import PaperHolding
from execution.venues.base import Accepted, OpenOrder, OrderRef, OrderRequest, Refused, VenueFill, VenueOrder
from execution.venues.paper_line import PaperLine
from markets.models import Instrument, VenueInstrument

D = Decimal
FAR: Final = "farex"
FEE: Final = D("0.001")


class FarVenue(PaperLine):
    """The stand-in. ``away``: it answers nothing; ``asked``: the questions put to it, in order."""

    name = FAR  # type: ignore[misc]

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: list[str] = []
        self.sent: list[str] = []
        self.beside = D(0)  # cash there that is not the portfolio's; below 0: that much is missing
        self.foreign: dict[str, Decimal] = {}  # quantities there that are not the portfolio's, signed
        self.foreign_orders: list[OpenOrder] = []
        self.problems: tuple[str, ...] = ()

    def account_look(self, *, account: str) -> AccountLook:
        """What our books hold and what lies beside it; a perpetuals account has no coins but its cash."""
        self._question("look")
        portfolio = Portfolio.objects.select_related("capital").get(pk=portfolio_of(account=account))
        cash = portfolio.capital.cash - portfolio.capital.deficit + self.beside
        there = dict(self.foreign)
        for held in PaperHolding.objects.filter(account=account).exclude(quantity=0):
            there[held.instrument_code] = there.get(held.instrument_code, D(0)) + held.quantity
        free = CoinBalance("USDT", max(cash, D(0)), D(0))
        if portfolio.policy == "spot":
            coins = tuple(CoinBalance(code, quantity, D(0)) for code, quantity in there.items())
            return AccountLook((free, *coins), (), None, "", row_time())
        positions = tuple(
            HeldPosition(code, quantity, D(1), D(0), None, "cross")
            for code, quantity in there.items()
            if quantity
        )
        return AccountLook((free,), positions, cash, "one_way", row_time())

    def account_check(self, *, account: str) -> AccountCheck:
        self._question("check")
        return AccountCheck(problems=self.problems, notes=())

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        self._question("submit")
        self.sent.append(request.client_order_id)
        return super().order_submit(request=request, now=now)

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        self._question("fetch")
        return super().order_fetch(order=order)

    def order_cancel(self, *, order: OrderRef, now: datetime) -> Any:
        self._question("cancel")
        return super().order_cancel(order=order, now=now)

    def orders_open(self, *, account: str) -> list[OpenOrder]:
        self._question("open")
        return [*super().orders_open(account=account), *self.foreign_orders]

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        self._question("fills")
        return super().fills_since(account=account, since=since)

    def stops_armed(self, *, accounts: Sequence[str]) -> list[OrderRef]:
        self._question("stops")
        return super().stops_armed(accounts=accounts)

    def _question(self, name: str) -> None:
        self.asked.append(name)
        if self.away:
            raise RetryLater(f"{FAR}: NetworkError: no route")


def venue_stand_in(monkeypatch: pytest.MonkeyPatch) -> FarVenue:
    """Let every module find the stand-in under its name."""
    far, real = FarVenue(), venues.venue_get

    def get(*, name: str, clock: Clock | None = None) -> Any:
        return far if name == FAR else real(name=name, clock=clock)

    for module in list(sys.modules.values()):
        if getattr(module, "venue_get", None) is real:
            monkeypatch.setattr(module, "venue_get", get)
    return far


def rules_make(*, policy: str = "perp", sandbox: bool = True, quote: str = "USDT", **changed: Any) -> None:
    """Let the stand-in trade every instrument there is, coarser than paper does and at another fee."""
    for row in Instrument.objects.all():
        fields = {
            "symbol": f"{row.code}/{quote}",
            "market_id": f"{row.code}{quote}",
            "quantity_step": D("0.001"),
            "price_step": D("0.1"),
            "min_notional": D(20),
            "max_leverage": 20,
            "maker_fee": FEE / 2,
            "taker_fee": FEE,
        }
        VenueInstrument.objects.update_or_create(
            venue=FAR,
            sandbox=sandbox,
            policy=policy,
            instrument=row,
            quote=quote,
            defaults={**fields, **changed, "read_at": row_time()},
        )


def row_time() -> datetime:
    """Return any moment."""
    from tests.integration.engine.stage import NOW

    return NOW


def key_make(owner: User, *, sandbox: bool = True, account_id: str = "main", name: str = "") -> Credential:
    """Keep a trade key of the stand-in, whose secret nobody opens."""
    return Credential.objects.create(
        owner=owner,
        purpose=Credential.Purpose.TRADE,
        venue=FAR,
        sandbox=sandbox,
        name=name or f"key of {account_id} {sandbox}",
        mask="far…1",
        sealed="sealed",
        account_id=account_id,
        permissions=["read", "trade"],
        checked_at=row_time(),
    )


def live_make(
    portfolio: Portfolio,
    *,
    state: str = "live",
    now: datetime,
    sandbox: bool = True,
    account_id: str = "main",
    **fields: Any,
) -> LiveAccount:
    """Connect a portfolio to the stand-in as it stands, without the steps that lead there."""
    rules_make(policy=portfolio.policy, sandbox=sandbox)
    at_venue = state in LiveAccount.AT_VENUE
    Portfolio.objects.filter(pk=portfolio.pk).update(mode="live" if at_venue else "paper")
    portfolio.refresh_from_db()
    wanted: dict[str, Any] = {
        "credential": key_make(portfolio.owner, sandbox=sandbox, account_id=account_id),
        "venue": FAR,
        "sandbox": sandbox,
        "policy": portfolio.policy,
        "quote": "USDT",
        "account_id": account_id,
        "state": state,
        "assigned": D(10000),
        "connected_at": now,
        "shadow_since": now,
        "confirmed_at": now if at_venue else None,
        "promoted_at": now if at_venue else None,
        "ramped_at": now if at_venue else None,
        "max_positions": None,
    }
    return LiveAccount.objects.create(portfolio=portfolio, **(wanted | fields))
