"""`make soak [MINUTES=60]`: a site reads wallets of a venue that fails all the time; figures as a JSON line.

A tenth of all requests fail in one of the ways of real servers, and now and then nearly all do. Shown
afterwards: less than 5 % of the scheduled reads brought nothing (SYN-4), nobody was believed to have closed
what he held (SYN-5), the venue's budget was kept (SYN-3), the books are clean, and neither memory nor
connections have grown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from core.clock import utc_now
from portfolio_site.processes import Child
from tests.faults.books import books_are_clean
from tests.faults.site import Site
from tests.faults.wallets import Wallets
from tests.loopback.running import HyperliquidProcess
from tests.running import wait_until

EMAIL: Final = "soak@example.com"
ALLOWED_ERROR_RATE: Final = 0.05
FAULTS: Final[tuple[tuple[str, float], ...]] = (
    ("429", 0.02), ("500", 0.02), ("502", 0.01), ("cut", 0.01), ("half", 0.01), ("cut_json", 0.01),
    ("nonsense", 0.005), ("html", 0.005), ("null", 0.004), ("empty_list", 0.004), ("hang", 0.002),
)  # fmt: skip
STORMS: Final[tuple[Mapping[str, Any], ...]] = (
    {"rules": [{"do": "429", "share": 0.8}]},
    {"rules": [{"do": "500", "share": 0.8}]},
    {"delay_s": 1.5},
    {"rules": [{"do": "half", "share": 0.5}, {"do": "cut", "share": 0.5}]},
)
STORM_SHARE: Final = 0.1  # of the time
LONG_MINUTES: Final = 10.0  # from here on growth is judged; before, everything still warms up
GROWTH_RATIO: Final = 1.10
GROWTH_KB: Final = 12_000
MORE_CONNECTIONS: Final = 4
_READ: Final = """
    SELECT count(DISTINCT trader_id) FROM traders_tradersnapshot
    JOIN traders_trader ON traders_trader.id = trader_id WHERE kind = 'hyperliquid'
"""
_SNAPSHOTS: Final = """
    SELECT trader.key, snapshot.received_at, snapshot.positions
    FROM traders_tradersnapshot AS snapshot JOIN traders_trader AS trader ON trader.id = snapshot.trader_id
    WHERE trader.kind = 'hyperliquid'
"""


@dataclass
class Use:
    """What the site's processes and services use, by name, sample after sample."""

    site: Site
    samples: dict[str, list[int]] = field(default_factory=dict)

    def take(self) -> None:
        """Take one sample."""
        for name, pid in self.site.processes().items():
            self._add(f"{name}, KiB", _rss_kb(pid))
            if name.startswith("worker"):
                self._add(f"{name} children, KiB", sum(map(_rss_kb, self.site.pool_children(name))))
        self._add("connections to PostgreSQL", self.site.one("SELECT count(*) FROM pg_stat_activity"))
        with self.site.redis() as client:
            self._add("connections to Redis", int(client.info("clients")["connected_clients"]))

    def grown(self) -> list[str]:
        """Return what grew between the second quarter and the last."""
        found = []
        for name, values in self.samples.items():
            quarter = max(1, len(values) // 4)
            before = statistics.median(values[quarter : 2 * quarter])
            after = statistics.median(values[-quarter:])
            allowed = (
                max(before * GROWTH_RATIO, before + GROWTH_KB)
                if name.endswith("KiB")
                else before + MORE_CONNECTIONS
            )
            if after > allowed:
                found.append(f"{name}: {before:.0f} → {after:.0f}")
        return found

    def last(self) -> dict[str, int]:
        """Return the newest sample."""
        return {name: values[-1] for name, values in self.samples.items()}

    def _add(self, name: str, value: int) -> None:
        self.samples.setdefault(name, []).append(value)


class Soak:
    """One site, its venue, and wallets that trade on it."""

    def __init__(
        self,
        *,
        venue: HyperliquidProcess,
        seed: int,
        wallets: int,
        interval_s: int,
        error_rate: float = ALLOWED_ERROR_RATE,
    ) -> None:
        self.venue = venue
        self.site = Site()
        self.site.environment |= {"HYPERLIQUID_URL": venue.url, "SYNC_INTERVAL_SECONDS": str(interval_s)}
        self.site.environment["REPLAY_SPEED"] = "60"  # the demo beside it is not the subject
        self.wallets = Wallets(venue, wallets, seed)
        self.use = Use(self.site)
        self._storms = 0
        self._error_rate = error_rate

    def run(self, *, minutes: float) -> dict[str, Any]:
        """Soak that long, prove what has to hold, and return the figures.

        :raises AssertionError: something does not hold
        """
        self.wallets.open(utc_now())
        self.site.start()
        self._follow()
        self.use.take()
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < minutes * 60:
            self._weather(passed_s, minutes * 60)
            self.wallets.prices_move()
            self.wallets.move(utc_now())
            self.use.take()
            time.sleep(1.0 if minutes < LONG_MINUTES else 5.0)
        figures = self._figures()
        self.venue.script(rules=[], delay_s=0.0)
        return {"minutes": minutes, **self._proof(figures, minutes=minutes)}

    def _follow(self) -> None:
        """Open portfolios that follow the wallets, and wait for the first read of each.

        What fails before is a start, and does not count.
        """
        self._program("seed", *self.wallets.keys)
        wait_until(
            lambda: self.site.one(_READ) == self.wallets.count,
            timeout_s=120,
            what="a first read of every wallet",
        )
        self.site.rows("DELETE FROM traders_syncattempt RETURNING id")

    def _weather(self, passed_s: float, whole_s: float) -> None:
        """A tenth fails always; for a tenth of the time, in every sixth of the run, a storm blows."""
        sixth_s = whole_s / 6
        storm = self._storms_at(passed_s, sixth_s)
        if storm != self._storms:
            self._storms = storm
            steady = [{"do": do, "share": share} for do, share in FAULTS]
            fair: Mapping[str, Any] = {"rules": steady, "delay_s": 0.05}
            self.venue.script(**{**fair, **(STORMS[storm % len(STORMS)] if storm > 0 else {})})

    def _storms_at(self, passed_s: float, sixth_s: float) -> int:
        """Return the number of the storm that blows, from 1 on; its negative after it, until the next."""
        number = int(passed_s / sixth_s) + 1
        return number if passed_s % sixth_s < sixth_s * STORM_SHARE and number > 1 else -number

    def _figures(self) -> dict[str, Any]:
        return json.loads(self._program("figures"))

    def _proof(self, figures: dict[str, Any], *, minutes: float) -> dict[str, Any]:
        rows = self.site.rows(_SNAPSHOTS)
        read = [
            (key, at, {row["code"]: Decimal(row["quantity"]) for row in positions})
            for key, at, positions in rows
        ]
        wrong = self.wallets.wrong(read)
        stats = self.venue.stats()
        assert wrong == [], f"{len(wrong)} reads say what was never so: {wrong[:5]}"
        assert figures["error_rate"] < self._error_rate, figures
        assert stats["heaviest_minute"] <= figures["budget"], stats
        grown = self.use.grown() if minutes >= LONG_MINUTES else []
        assert grown == [], f"it grows: {grown}"
        books_are_clean(self.site)
        return {
            **figures,
            "wallets": self.wallets.count,
            "snapshots": len(rows),
            "closings": self.wallets.closed,
            "wrong_reads": len(wrong),
            "requests": stats["total"],
            "faults": sum(stats["faults"].values()),
            "heaviest_minute": stats["heaviest_minute"],
            "use": self.use.last(),
        }

    def _program(self, *arguments: str) -> str:
        """Run a part of this file on the site, and return what it prints."""
        child = Child(spec=self.site.spec(f"soak-{arguments[0]}", "-m", "tests.faults.soak", *arguments))
        assert child.wait(timeout_s=120), "the soak's own program did not end"
        assert child.exit_code() == 0, child.log_text()
        return child.log_text().strip().splitlines()[-1] if child.log_text().strip() else ""


def _rss_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1])


# ---------------------------------------------------------------- on the site
def seed(keys: Sequence[str]) -> None:
    """Open three portfolios that follow these wallets, seven each, some of them shared."""
    from accounts.models import User
    from engine.follows import follow_start
    from engine.portfolios import portfolio_open

    user = User.objects.create_user(EMAIL, "a password of the soak")
    kinds = (
        ("perp", "balanced", "combine"),
        ("spot", "conservative", "largest"),
        ("perp", "aggressive", "first"),
    )
    for place, (policy, profile, rule) in enumerate(kinds):
        portfolio = portfolio_open(
            owner=user, initial_cash=Decimal(50_000), now=utc_now(), name=f"Soak {place}", policy=policy,
            risk_profile=profile, conflict_rule=rule, auto_rebalance=True,
        )  # fmt: skip
        for number in range(7):
            key = keys[(place * 5 + number) % len(keys)]
            follow_start(
                portfolio=portfolio, kind="hyperliquid", key=key, join_mode="include_open", now=utc_now()
            )


def figures(now: datetime) -> dict[str, Any]:
    """Return how the reads went, as the site itself tells it."""
    from django.conf import settings

    from execution.models import Order
    from traders.models import QuarantinedRead, Trader
    from traders.selectors import sync_error_rates

    ids = list(Trader.objects.filter(kind="hyperliquid").values_list("pk", flat=True))
    rates = sync_error_rates(trader_ids=ids, now=now)
    return {
        "error_rate": round(float(sum(rates.values())) / max(1, len(rates)), 4),
        "worst_error_rate": round(float(max(rates.values(), default=Decimal(0))), 4),
        "quarantined": QuarantinedRead.objects.count(),
        "orders": Order.objects.filter(portfolio__owner__email=EMAIL).count(),
        "budget": settings.HYPERLIQUID_WEIGHT_PER_MINUTE,
    }


def main() -> int:
    """Soak, or do a part of it on the site."""
    if sys.argv[1:2] in (["seed"], ["figures"]):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")
        import django

        django.setup()
        if sys.argv[1] == "seed":
            seed(sys.argv[2:])
        else:
            sys.stdout.write(json.dumps(figures(utc_now())) + "\n")
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--wallets", type=int, default=17)
    parser.add_argument("--interval", type=int, default=60, help="seconds between two reads of a wallet")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    venue = HyperliquidProcess()
    soak = Soak(venue=venue, seed=options.seed, wallets=options.wallets, interval_s=options.interval)
    try:
        told = soak.run(minutes=options.minutes)
        soak.site.stop()
    except AssertionError as found:
        sys.stdout.write(f"{json.dumps({'failed': str(found)})}\n")
        sys.stdout.write(f"The site's files are left in {soak.site.var_dir} to be looked at.\n")
        soak.site.abandon()
        return 1
    finally:
        venue.stop()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
