"""The measuring process of `benchmarks.replan`: `python -m benchmarks._replan_run DIR` prints JSON."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from benchmarks import _own_site as own  # sets Django up; before everything of ours

# isort: split

from django.conf import settings
from django.db.models import Model

from accounts.models import Portfolio, User
from allocation.models import CapitalAccount, Follow, FollowLeg, LedgerEntry
from core.clock import SYSTEM_CLOCK, utc_now
from core.instruments import Instrument
from engine.copy_cycle import cycle_run
from engine.follows import follow_start
from engine.models import CycleState, Decision
from engine.portfolios import portfolio_open
from engine.syncing import shard_sync
from execution.models import Order
from markets.recordings import InstrumentRecord
from markets.services import instruments_ensure
from positions.models import Valuation
from tests.running import wait_until
from tests.stateful.worlds import MadeUpWorld, ScriptedSource
from traders import reading
from traders.domain.reads import TraderPosition
from traders.models import TraderSnapshot

_FAR: Final = timedelta(days=1)
PORTFOLIOS: Final = int(os.environ.get("REPLAN_PORTFOLIOS", "10000"))
FOLLOWED: Final = 5
HELD: Final = 8  # positions of each trader
CODES: Final = [f"X{number}" for number in range(50)]
PRICE: Final = Decimal(100)
WORKERS: Final = 2
ALONE: Final = 30
PATIENCE_S: Final = 1500


def world_make() -> tuple[MadeUpWorld, ScriptedSource]:
    """A live world of fifty instruments, in which five traders hold eight positions each."""
    play, source = MadeUpWorld(now=utc_now()), ScriptedSource()
    source.play = play
    reading.source_make = lambda *, kind: source  # type: ignore[assignment]
    settings.POSITION_CACHE_SECONDS = 0
    specs = [Instrument(code, code, Decimal(1), Decimal("0.01"), 2, max_leverage=40) for code in CODES]
    instruments_ensure(instruments=[InstrumentRecord(spec, "made up") for spec in specs])
    play.prices |= dict.fromkeys(CODES, PRICE)
    play.marks_write()
    for place, key in enumerate(play.keys[:FOLLOWED]):
        for code in CODES[place * 5 : place * 5 + HELD]:  # neighbours share three of them
            play.traders[key].positions[code] = TraderPosition(code, Decimal(4), PRICE, PRICE, utc_now())
    return play, source


def portfolios_make(play: MadeUpWorld, count: int) -> Portfolio:
    """Let one portfolio follow the traders and decide for the first time, and copy it as it stands then.

    Its orders stay unsent: who is deciding anew is the subject, not who trades.
    """
    owner = User.objects.create_user("bench@example.com")
    first = portfolio_open(
        owner=owner, initial_cash=Decimal(10_000), now=utc_now(), name="1", policy="perp",
        risk_profile="balanced",
    )  # fmt: skip
    for key in play.keys[:FOLLOWED]:
        follow_start(portfolio=first, kind=play.kind, key=key, now=utc_now())
    shard_sync(shard=0, shards=1, now=utc_now(), clock=SYSTEM_CLOCK)
    cycle_run(portfolio_id=first.pk, now=utc_now())
    portfolios = Portfolio.objects.bulk_create(
        _copy(first, name=str(number)) for number in range(2, count + 1)
    )
    for model in (CapitalAccount, LedgerEntry, Valuation, CycleState):
        rows = list(model.objects.filter(portfolio=first))
        model.objects.bulk_create(
            [_copy(row, portfolio=portfolio) for portfolio in portfolios for row in rows], batch_size=5000
        )
    follows = list(Follow.objects.filter(portfolio=first).order_by("pk"))
    copies = Follow.objects.bulk_create(
        [_copy(follow, portfolio=portfolio) for portfolio in portfolios for follow in follows],
        batch_size=5000,
    )
    legs = {follow.pk: list(FollowLeg.objects.filter(follow=follow)) for follow in follows}
    FollowLeg.objects.bulk_create(
        [
            _copy(leg, follow=copy)
            for place, copy in enumerate(copies)
            for leg in legs[follows[place % len(follows)].pk]
        ],
        batch_size=5000,
    )
    return first


def _copy(row: Model, **changes: Any) -> Any:
    """Return an unsaved copy of a row."""
    fields = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if f.column != "id"}
    for name, value in changes.items():
        fields[name] = value
        fields.pop(f"{name}_id", None)
    return type(row)(**fields)


def replan() -> dict[str, float]:
    """Let one trader open something; return how long until each portfolio that follows it has decided."""
    play, _ = world_make()
    portfolios_make(play, PORTFOLIOS)
    CycleState.objects.update(next_at=utc_now() + _FAR, wanted_at=None, asked_at=None, ran_at=None)
    play.now = utc_now()
    play.marks_write()
    specs = own.procfile_specs(log_dir=own.DIRECTORY / "log", values=own.NO_WEB)
    with ExitStack() as stack:
        stack.callback(reading.read_loop_close)
        stack.enter_context(own.programs([s for s in specs if s.name in {"worker-orders", "beat"}]))
        time.sleep(8)  # the workers are up
        Decision.objects.all().delete()
        CycleState.objects.update(next_at=utc_now() + _FAR, wanted_at=None, asked_at=None, ran_at=None)
        key = play.keys[0]
        play.traders[key].positions[CODES[40]] = TraderPosition(
            CODES[40], Decimal(4), PRICE, PRICE, utc_now()
        )
        play.now = utc_now()
        play.marks_write()
        play.due(key)
        shard_sync(shard=0, shards=1, now=utc_now(), clock=SYSTEM_CLOCK)
        changed_at = TraderSnapshot.objects.latest("pk").received_at
        told_s = (utc_now() - changed_at).total_seconds()
        undecided = CycleState.objects.filter(ran_at__isnull=True)
        wait_until(lambda: not undecided.exists(), timeout_s=PATIENCE_S, what="every portfolio's decision")
    took = sorted(
        (at - changed_at).total_seconds() for at in CycleState.objects.values_list("ran_at", flat=True)
    )
    orders = Order.objects.filter(underlying=CODES[40]).count()
    return {
        "portfolios": PORTFOLIOS,
        "told_s": told_s,
        "alone_s": _alone_s(play),
        "p50": own.quantile(took, 0.5),
        "p99": own.quantile(took, 0.99),
        "total": took[-1],
        "orders": orders,
    }


def _alone_s(play: MadeUpWorld) -> float:
    """Return the seconds that all decisions would take one after the other, shared by the processes."""
    key = play.keys[1]
    play.traders[key].positions[CODES[41]] = TraderPosition(CODES[41], Decimal(4), PRICE, PRICE, utc_now())
    play.now = utc_now()
    play.marks_write()
    play.due(key)
    shard_sync(shard=0, shards=1, now=utc_now(), clock=SYSTEM_CLOCK)
    begun_s = time.perf_counter()
    for portfolio_id in CycleState.objects.order_by("-pk").values_list("pk", flat=True)[:ALONE]:
        cycle_run(portfolio_id=portfolio_id, now=utc_now())
    return (time.perf_counter() - begun_s) / ALONE * PORTFOLIOS / WORKERS


def main() -> None:
    """Measure on services of its own."""
    with own.services():
        print(json.dumps(replan()))


if __name__ == "__main__":
    main()
