"""Made-up wallets that trade by a seed on the loopback venue, and what each of them truly held when.

A read is right if it equals what the wallet held at some moment between its being asked and its being kept.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tests.loopback.running import HyperliquidProcess, perp_state

PRICES: Final = {
    "BTC": Decimal(100_000),
    "ETH": Decimal(4000),
    "SOL": Decimal(200),
    "BNB": Decimal(1000),
    "XRP": Decimal("2.5"),
    "DOGE": Decimal("0.2"),
    "AVAX": Decimal(30),
    "LINK": Decimal(20),
}
EQUITY: Final = Decimal(50_000)
SIZES: Final = (500, 1000, 2000, 4000, 8000)  # notional of a position, in dollars
LOOK_BACK: Final = timedelta(seconds=40)  # the cache, a slow read, and its storing
Held = dict[str, Decimal]


@dataclass
class Wallets:
    """Some wallets, whose books move with every ``move``."""

    venue: HyperliquidProcess
    count: int
    seed: int
    truth: dict[str, list[tuple[datetime, Held]]] = field(default_factory=dict)
    closed: int = 0

    def __post_init__(self) -> None:
        self._moods = random.Random(self.seed)
        self._prices = dict(PRICES)
        self.keys = [f"0x{0x50AC0000 + number:040x}" for number in range(self.count)]

    def open(self, now: datetime) -> None:
        """Let every wallet hold a few positions, and tell the venue's markets."""
        universe = [{"name": coin, "szDecimals": 4, "maxLeverage": 25} for coin in PRICES]
        contexts = [{"dayNtlVlm": "100000000", "impactPxs": None} for _ in PRICES]
        self.venue.script(
            seed=self.seed,
            answers={
                "meta||": json.dumps({"universe": universe}),
                "metaAndAssetCtxs||": json.dumps([{"universe": universe}, contexts]),
                "candleSnapshot||": "[]",
            },
        )
        self.prices_move()
        for key in self.keys:
            coins = self._moods.sample(list(PRICES), 4)
            self._keep(key, {coin: self._quantity(coin) for coin in coins}, now)

    def move(self, now: datetime) -> None:
        """Let one wallet trade: open, add, reduce, flip or close one position; never all at once."""
        key = self._moods.choice(self.keys)
        held = dict(self.truth[key][-1][1])
        coin = self._moods.choice(list(PRICES))
        if coin not in held:
            held[coin] = self._quantity(coin)
        elif len(held) > 3 and self._moods.random() < 0.4:
            del held[coin]
            self.closed += 1
        else:
            held[coin] *= self._moods.choice([Decimal("0.5"), Decimal("1.5"), Decimal(-1)])
        self._keep(key, held, now)

    def prices_move(self) -> None:
        """Move every price by up to 0.1 %, for those who ask and for those who listen."""
        for coin, price in self._prices.items():
            factor = 1 + Decimal(self._moods.randint(-10, 10)) / 10_000
            self._prices[coin] = (price * factor).quantize(Decimal("0.0001"))
        mids = {coin: str(price) for coin, price in self._prices.items()}
        told = json.dumps({"channel": "allMids", "data": {"mids": mids}})
        self.venue.script(answers={"allMids||": json.dumps(mids)}, tell_if_heard=[told])

    def wrong(self, snapshots: Iterable[tuple[str, datetime, Held]]) -> list[str]:
        """Return the snapshots (wallet, when received, quantities) that say what was never so."""
        found: list[str] = []
        for key, received_at, quantities in snapshots:
            if not any(held == quantities for held in self._possible(key, received_at)):
                found.append(f"{key[-4:]} at {received_at:%H:%M:%S}: {quantities}")
        return found

    def _possible(self, key: str, at: datetime) -> Iterable[Held]:
        """Return what a wallet held at any moment of the time before ``at`` that a read may be from."""
        states = self.truth[key]
        for place, (since, held) in enumerate(states):
            until = states[place + 1][0] if place + 1 < len(states) else at + LOOK_BACK
            if since <= at and until >= at - LOOK_BACK:
                yield held

    def _quantity(self, coin: str) -> Decimal:
        notional = self._moods.choice(SIZES) * self._moods.choice([1, 1, -1])
        return (notional / self._prices[coin]).quantize(Decimal("0.0001"))

    def _keep(self, key: str, held: Held, now: datetime) -> None:
        """Tell the venue what a wallet holds, and remember it from before that moment on."""
        self.truth.setdefault(key, []).append((now, held))
        rows = [
            (coin, str(size), str(self._prices[coin]), str(abs(size) * self._prices[coin]))
            for coin, size in held.items()
        ]
        state = perp_state(*rows, account_value=str(EQUITY))
        self.venue.script(answers={f"clearinghouseState|{key}|": state})
