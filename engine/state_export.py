"""A portfolio's books as a state file, version 2, which ``engine.state_import`` takes over again (DAT-1)."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.models import Portfolio
from accounts.reading import consistent_read
from allocation.follows import follows_current
from allocation.models import CapitalAccount
from core.decimals import ZERO, plain, to_price
from engine.domain.export_format import moment_text
from markets.models import Mark
from positions.models import ExitGuard, Position


def state_export(*, portfolio: Portfolio, now: datetime) -> str:
    """Return the books of one moment as JSON; amounts are texts, quantities and costs exact.

    A position whose slices net to nothing is left out: it holds nothing and cost nothing.
    """
    with consistent_read():
        account = CapitalAccount.objects.get(portfolio=portfolio)
        positions = list(
            Position.objects.filter(portfolio=portfolio)
            .exclude(status=Position.Status.CLOSED)
            .exclude(quantity=0)
            .prefetch_related("slices__follow__trader")
            .order_by("instrument")
        )
        marks = dict(Mark.objects.filter(world=portfolio.world).values_list("instrument_id", "price"))
        guards = ExitGuard.objects.filter(position__in=positions, ended_at__isnull=True)
        stops = {guard.position_id: guard.trail_price or guard.stop_price for guard in guards}
        document = {
            "version": 2,
            "as_of": moment_text(now),
            "name": portfolio.name,
            "world": portfolio.world,
            "policy": portfolio.policy,
            "currency": "USD",
            "cash": plain(account.cash - account.deficit),
            "traders": [
                {"name": follow.trader.name, "kind": follow.trader.kind, "key": follow.trader.key}
                for follow in follows_current(portfolio_id=portfolio.pk)
            ],
            "positions": {
                position.instrument_id: _position(
                    position, marks.get(position.instrument_id), stops.get(position.pk)
                )
                for position in positions
            },
        }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _position(position: Position, mark: Decimal | None, stop: Decimal | None) -> dict[str, Any]:
    whose = [
        part.follow.trader.name if part.follow else "" for part in position.slices.all() if part.quantity
    ]
    found: dict[str, Any] = {
        "side": "long" if position.quantity > ZERO else "short",
        "size": plain(abs(position.quantity)),
        "entry_price": plain(to_price(position.cost / position.quantity)),
        "cost": plain(abs(position.cost)),
        "opened_at": moment_text(position.opened_world_at),
        "traders": [name for name in whose if name],
    }
    if mark is not None:
        found["mark_price"] = plain(mark)
    if stop is not None:
        found["stop_price"] = plain(stop)
    return found
