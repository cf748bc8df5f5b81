"""The measuring process of `benchmarks.executor`: `python -m benchmarks._executor_run DIR` prints JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Final

from benchmarks._own_site import site

AT_ONCE: Final = 5  # Django is set up from here on

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.models import Portfolio, User  # noqa: E402
from allocation.models import Follow  # noqa: E402
from core.clock import SYSTEM_CLOCK, utc_now  # noqa: E402
from core.instruments import Instrument  # noqa: E402
from engine.follows import follow_start  # noqa: E402
from engine.portfolios import portfolio_open  # noqa: E402
from engine.syncing import shard_sync  # noqa: E402
from markets.recordings import InstrumentRecord  # noqa: E402
from markets.services import instruments_ensure  # noqa: E402
from positions.models import Position  # noqa: E402
from tests.running import wait_until  # noqa: E402
from tests.stateful.worlds import MadeUpWorld, ScriptedSource  # noqa: E402
from traders import reading  # noqa: E402
from traders.domain.reads import TraderPosition  # noqa: E402

ROUNDS: Final = 3
PRICE: Final = Decimal(100)
EACH: Final = Decimal(4)  # units, 400 of the trader's 10,000 and of ours
PATIENCE_S: Final = 60


@contextmanager
def prices_moving(play: MadeUpWorld) -> Iterator[None]:
    """Write the marks of the world twice a second, as a feed would."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.5):
            play.now = utc_now()
            play.marks_write()
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def opened(portfolio: Portfolio, codes: Sequence[str]) -> bool:
    """Tell whether all of these are held in full."""
    held = Position.objects.filter(portfolio=portfolio, underlying__in=codes, status="active", quantity__gt=3)
    return held.count() == len(codes)


def open_s(play: MadeUpWorld, portfolio: Portfolio, codes: Sequence[str]) -> float:
    """Let the trader open these; return the seconds until we hold them."""
    key = play.keys[0]
    for code in codes:
        play.traders[key].positions[code] = TraderPosition(code, EACH, PRICE, PRICE, utc_now())
    play.due(key)
    begun = time.perf_counter()
    shard_sync(shard=0, shards=1, now=utc_now(), clock=SYSTEM_CLOCK)
    wait_until(lambda: opened(portfolio, codes), timeout_s=PATIENCE_S, what=f"{codes} to be open")
    return time.perf_counter() - begun


def main() -> None:
    """Open five one after the other, then five at once, three times."""
    codes = [f"X{number}" for number in range(AT_ONCE * (ROUNDS + 1))]
    settings.POSITION_CACHE_SECONDS = 0  # the trader is read whenever it moved
    with ExitStack() as stack:
        stack.enter_context(site("worker-orders", "beat"))
        play, source = MadeUpWorld(now=utc_now()), ScriptedSource()
        source.play = play
        reading.source_make = lambda *, kind: source  # type: ignore[assignment]
        specs = [Instrument(code, code, Decimal(1), Decimal("0.01"), 2, max_leverage=40) for code in codes]
        instruments_ensure(instruments=[InstrumentRecord(spec, "made up") for spec in specs])
        play.prices |= dict.fromkeys(codes, PRICE)
        play.marks_write()
        stack.enter_context(prices_moving(play))
        stack.callback(reading.read_loop_close)
        owner = User.objects.create_user("bench@example.com", "correct horse battery staple")
        portfolio = portfolio_open(
            owner=owner,
            initial_cash=Decimal(10000),
            now=utc_now(),
            name="Bench",
            policy="perp",
            risk_profile="aggressive",
        )
        follow = follow_start(portfolio=portfolio, kind=play.kind, key=play.keys[0], now=utc_now())
        shard_sync(shard=0, shards=1, now=utc_now(), clock=SYSTEM_CLOCK)
        joined = Follow.objects.filter(pk=follow.pk, joined=True)
        wait_until(joined.exists, timeout_s=PATIENCE_S, what="the workers' first cycle")
        one_by_one = sum(open_s(play, portfolio, [code]) for code in codes[:AT_ONCE])
        rounds = [
            open_s(play, portfolio, codes[AT_ONCE * turn : AT_ONCE * (turn + 1)])
            for turn in range(1, ROUNDS + 1)
        ]
        print(json.dumps({"value": sorted(rounds)[ROUNDS // 2], "baseline": one_by_one}))


if __name__ == "__main__":
    main()
