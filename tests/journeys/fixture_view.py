"""Portfolio views of any size for the browser's tests and measurements, in the shape of ``engine.selectors``.

The figures hang together: slices sum to their position, shares to 100, capital to its parts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any

from core.decimals import plain

NOW = datetime(2026, 3, 2, 14, 2, 31, tzinfo=UTC)
WORLD_NOW = datetime(2025, 10, 28, 4, 12, tzinfo=UTC)
NAMES = [
    ("QW", "Qwen3 Max"),
    ("DS", "DeepSeek V3.1"),
    ("CL", "Claude Sonnet 4.5"),
    ("GE", "Gemini 2.5 Pro"),
    ("GK", "Grok 4"),
    ("ND", "Night desk"),
    ("BD", "Basis desk"),
    ("MK", "Market maker"),
    ("HL", "Harbour light"),
    ("EX", "Example ten"),
]
COINS = [
    ("BTC", "107310.0"),
    ("ETH", "3846.20"),
    ("SOL", "193.40"),
    ("BNB", "1088.20"),
    ("XRP", "2.5310"),
    ("DOGE", "0.19210"),
]
CENT = Decimal("0.01")


def iso(at: datetime) -> str:
    """Write a time as the API does."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(value: Decimal | float, step: str = "0.01") -> str:
    """Write a number as the API does."""
    return str(Decimal(str(value)).quantize(Decimal(step)))


def walk(random: Random, start: float, count: int, step: float = 0.012) -> list[float]:
    """A random walk of equity."""
    values = [start]
    for _ in range(count - 1):
        values.append(round(values[-1] * (1 + random.gauss(0.0006, step)), 2))
    return values


def view_make(*, traders: int = 4, positions: int = 6, seed: int = 7) -> dict[str, Any]:
    """Return a view with so many traders, positions, conflicts for half of them, and thirty activities."""
    random = Random(seed)
    people = {str(n): _trader(random, n, traders) for n in range(1, traders + 1)}
    places = {str(n): _position(random, n, list(people.values())) for n in range(1, positions + 1)}
    gross = sum((Decimal(place["notional"]) for place in places.values()), Decimal(0))
    unrealized = sum((Decimal(place["unrealized_pnl"]) for place in places.values()), Decimal(0))
    equity = Decimal("10843.27") + unrealized
    return {
        "portfolio": _portfolio(),
        "kpis": _kpis(equity, gross, unrealized),
        "capital": {
            "total": "10214.80",
            "cash": "10214.80",
            "free": "5120.14",
            "reserved": "412.50",
            "committed": "4682.16",
            "deployed": "0.00",
            "deficit": "0.00",
            "allocated": "5094.66",
            "idle": "3120.00",
            "idle_by": [
                {
                    "limit": "position",
                    "label": "Largest position",
                    "amount": "3120",
                    "text": "25 % of equity ($2,512.30) cuts BTC by $2,000.00 and ETH by $1,120.00",
                    "parts": [
                        {"underlying": "BTC", "amount": "2000"},
                        {"underlying": "ETH", "amount": "1120"},
                    ],
                }
            ],
        },
        "breakers": {
            "trading_mode": "multi",
            "one_position": "",
            "gauges": [],
            "copy_stops": [],
            "trips": [],
        },
        "curve": {
            "at": iso(WORLD_NOW),
            "run": 1,
            "portfolio": text(equity),
            "unit_value": text(equity / 10000, "0.000001"),
            "traders": {key: person["equity"] for key, person in people.items()},
        },
        "health": {
            "alerts_unread": 0,
            "marks_received_at": iso(NOW),
            "marks_stale": False,
            "traders_degraded": 0,
            "last_cycle_at": iso(NOW - timedelta(seconds=11)),
            "next_cycle_at": iso(NOW + timedelta(seconds=49)),
            "cycle_error": "",
        },
        "traders": people,
        "positions": places,
        "conflicts": {
            str(n): _conflict(random, n, place, list(people.values()))
            for n, place in enumerate(list(places.values())[: max(1, positions // 2)], start=1)
        }
        if traders > 1 and positions
        else {},
        "orders": {str(n): _order(n, place) for n, place in enumerate(list(places.values())[:2], start=1)},
        "commands": {},
        "activity": {str(n): _activity(random, n, list(people.values())) for n in range(1, 31)},
    }


def _portfolio() -> dict[str, Any]:
    return {
        "id": 1,
        "name": "Arena four",
        "mode": "paper",
        "policy": "perp",
        "risk_profile": "balanced",
        "conflict_rule": "combine",
        "auto_rebalance": False,
        "status": "active",
        "status_reason": "",
        "start_at": iso(NOW - timedelta(days=3)),
        "world": "replay:alpha_arena",
        "world_label": "Replay of Alpha Arena",
        "world_anchor_at": iso(WORLD_NOW),
        "anchored_at": iso(NOW),
        "world_end_at": iso(WORLD_NOW + timedelta(days=6)),
        "world_speed": "600",
        "run": 1,
        "price_note": "Prices between recorded trades are interpolated",
    }


def _kpis(equity: Decimal, gross: Decimal, unrealized: Decimal) -> dict[str, Any]:
    return {
        "equity": text(equity),
        "peak_equity": text(equity * Decimal("1.026")),
        "peak_at": iso(NOW - timedelta(days=1)),
        "day_pnl": "137.38",
        "day_pnl_pct": "1.18",
        "total_pnl": text(equity - 10000),
        "total_pnl_pct": text((equity - 10000) / 100),
        "gross": text(gross),
        "net": text(gross * Decimal("0.54")),
        "exposure_pct": text(gross / equity * 100),
        "exposure_limit_pct": "100.00",
        "drawdown_pct": "-2.53",
        "win_rate_pct": "58.33",
        "closed_count": 24,
        "deposits_net": "10000",
    }


def _trader(random: Random, number: int, count: int) -> dict[str, Any]:
    monogram, name = NAMES[(number - 1) % len(NAMES)]
    line = walk(random, 10000, 40)
    weight = Decimal(1) / count
    recorded = number <= 5
    return {
        "follow_id": number,
        "trader_id": 100 + number,
        "name": name,
        "monogram": monogram,
        "hue": number,
        "order": number,
        "kind": "replay" if recorded else "hyperliquid",
        "detail": "AI model, Alpha Arena" if recorded else f"0x5e9e{number}1…a13a, Hyperliquid",
        "key": name if recorded else f"0x5e9e{number}1",
        "note": "Trades before 20 Oct are missing from the record." if monogram == "GE" else "",
        "follow_status": "active",
        "sync_status": "active",
        "weight_pct": text(weight * 100),
        "assigned": text(10843 * weight),
        "equity": text(line[-1]),
        "total_pnl": text(line[-1] / 4 - 2500),
        "total_pnl_pct": text(line[-1] / 100 - 100),
        "our_positions": 3,
        "trader_return_pct": text(line[-1] / 100 - 100),
        "day_return_pct": text(random.gauss(0.4, 1.4)),
        "max_drawdown_pct": text(-abs(random.gauss(11, 4))),
        "exposure": text(abs(random.gauss(2.4, 1.2)) + 0.1),
        "position_count": 1 + number % 4,
        "synced_at": iso(NOW - timedelta(seconds=4 + number)),
        "failing_since": None,
        "next_sync_at": iso(NOW + timedelta(seconds=56 - number)),
        "error": "",
        "error_rate_pct": "0.00",
        "sparkline": line,
    }


def _coin(number: int) -> tuple[str, Decimal]:
    code, start = COINS[(number - 1) % len(COINS)]
    return (code if number <= len(COINS) else f"{code}{number}"), Decimal(start)


def _position(random: Random, number: int, people: list[dict[str, Any]]) -> dict[str, Any]:
    code, entry = _coin(number)
    sign = -1 if number % 3 == 0 else 1
    mark = (entry * Decimal(str(1 + random.gauss(0.003, 0.02)))).quantize(Decimal("0.00001"))
    quantity = (Decimal(1900 - 30 * number) / entry).quantize(Decimal("0.00001")) * sign
    holders = people if len(people) > 4 else people[: 1 + number % len(people)]
    slices = _slices(random, quantity, entry, mark, holders)
    return {
        "id": number,
        "code": code,
        "underlying": code,
        "side": "LONG" if sign > 0 else "SHORT",
        "status": "active",
        "quantity": str(quantity),
        "notional": text(abs(quantity * mark)),
        "share_pct": text(abs(quantity * mark) / Decimal("108.43")),
        "entry_price": str(entry),
        "mark_price": str(mark),
        "mark_at": iso(WORLD_NOW),
        "mark_stale": False,
        "unrealized_pnl": text(quantity * (mark - entry)),
        "unrealized_pct": text((mark / entry - 1) * 100 * sign),
        "realized_pnl": text(random.gauss(0, 60)),
        "fees": text(abs(random.gauss(2, 1))),
        "funding": text(random.gauss(0, 0.4)),
        "leverage": "2",
        "liquidation_price": str((entry * Decimal("0.61")).quantize(CENT)) if number == 1 else None,
        "opened_at": iso(WORLD_NOW - timedelta(hours=7 * number)),
        "working_orders": 1 if number <= 2 else 0,
        "slices": slices,
        "exits": exits_make(
            number, entry=entry, mark=mark, sign=sign, opened_at=WORLD_NOW - timedelta(hours=7 * number)
        ),
    }


RULES = {
    "stop_loss_pct": "8",
    "trail_from_pct": "12",
    "trail_by_pct": "5",
    "time_stop_days": "14",
    "take_profit": [],
}


def exits_make(
    number: int, *, entry: Decimal, mark: Decimal, sign: int, opened_at: datetime
) -> dict[str, Any]:
    """What guards a position; six kinds in turn: trailing, target, none, steps, no time stop, close."""
    gain = sign * (mark / entry - 1)

    def price(outcome: Decimal | str) -> str:
        return plain((entry * (1 + sign * Decimal(outcome))).quantize(Decimal("0.000001")))

    kind = number % 6
    stop = price(gain - Decimal("0.006")) if kind == 0 else price("-0.08")
    steps = {2: [("0.11", "100")], 4: [("0.06", "50"), ("0.12", "100")], 1: [("0.2", "100")]}.get(kind, [])
    trailing = kind == 1
    return {
        "stop": stop,
        "first_stop": price("-0.08"),
        "trail": price(min(gain - Decimal("0.012"), gain * Decimal("0.6"))) if trailing else None,
        "activation": None if trailing else price("0.12"),
        "peak": price(max(gain, Decimal(0)) + Decimal("0.02")),
        "target": price(steps[0][0]) if steps else None,
        "steps": [{"price": price(at), "fraction_pct": part, "done": False} for at, part in steps],
        "time_stop_at": iso(opened_at + timedelta(days=14)) if kind != 5 else None,
        "opened_at": iso(opened_at),
        "own": bool(steps),
        "rules": RULES
        | {
            "take_profit": [{"gain_pct": text(Decimal(at) * 100), "fraction_pct": part} for at, part in steps]
        },
        "trigger": None,
    }


def _slices(
    random: Random, quantity: Decimal, entry: Decimal, mark: Decimal, holders: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Split a position into signed parts that sum to it exactly; of three or more, one stands against."""
    weights = [Decimal(str(round(random.uniform(0.4, 1.4), 3))) for _ in holders]
    if len(weights) >= 3:
        weights[-1] = -weights[-1] / 4
    total = sum(weights)
    parts = [(quantity * weight / total).quantize(Decimal("0.00001")) for weight in weights]
    parts[0] += quantity - sum(parts)
    return [
        {
            "follow_id": holder["follow_id"],
            "monogram": holder["monogram"],
            "hue": holder["hue"],
            "quantity": str(part),
            "share_pct": text(part / quantity * 100),
            "unrealized_pnl": text(part * (mark - entry)),
            "realized_pnl": text(random.gauss(0, 12)),
        }
        for holder, part in zip(holders, parts, strict=True)
    ]


def _conflict(
    random: Random, number: int, place: dict[str, Any], people: list[dict[str, Any]]
) -> dict[str, Any]:
    after = Decimal(place["quantity"])
    opposed = number % 2 == 1
    shares = [
        Decimal("1.3"),
        Decimal("-0.3") if opposed else Decimal("0.5"),
        Decimal("0.2") if opposed else Decimal("0.4"),
    ]
    holders = [
        {
            "follow_id": person["follow_id"],
            "monogram": person["monogram"],
            "hue": person["hue"],
            "side": "LONG" if after * share > 0 else "SHORT",
            "quantity": str(after * share),
            "notional": text(abs(after * share * Decimal(place["mark_price"]))),
            "counted": number != 3 or share > 1,
            "opened_at": iso(WORLD_NOW - timedelta(hours=3)),
        }
        for person, share in zip(people, shares, strict=False)
    ]
    return {
        "id": number,
        "underlying": place["underlying"],
        "kind": "opposed" if opposed else "overlap",
        "rule": "largest" if number == 3 else "combine",
        "before": str(after * Decimal(str(random.choice([0, 0.6, 1.4])))),
        "after": str(after),
        "after_notional": place["notional"],
        "mark_price": place["mark_price"],
        "approval": None,
        "capped_reason": "capped at 25% of equity" if number == 2 else "",
        "at": iso(NOW - timedelta(minutes=number)),
        "world_at": iso(WORLD_NOW - timedelta(hours=number)),
        "holders": holders,
    }


def _order(number: int, place: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "code": place["code"],
        "side": "BUY" if number % 2 else "SELL",
        "quantity": text(Decimal(place["quantity"]) / 5, "0.00001").lstrip("-"),
        "filled_quantity": "0" if number % 2 else text(abs(Decimal(place["quantity"])) / 10, "0.00001"),
        "limit_price": place["mark_price"],
        "average_price": None if number % 2 else place["mark_price"],
        "status": "submitted" if number % 2 else "partially_filled",
        "purpose": "entry",
        "reduce_only": number % 2 == 0,
        "created_at": iso(NOW - timedelta(seconds=8)),
        "expires_at": iso(NOW + timedelta(seconds=52)),
    }


ACTIVITIES = [
    ("fill", "Bought 0.0120 BTC at 107,310.0", "Paper venue, fee 0.58"),
    ("order", "Buy 0.0120 BTC placed at 107,417.3", "Limit for 60 s"),
    ("copied", "ETH long follows Qwen3 Max", "Raised its position from 2.10 to 3.40"),
    ("merged", "SOL nets three wishes", "Long 9.2 and short 3.1 become long 6.1"),
    ("capped", "BTC held at 25% of equity", "Balanced limits: at most 25% in one position"),
    ("refused", "DOGE not opened", "The change of 4.10 is below the minimum of 10.00"),
    ("conflict", "SOL: opposed, combined", "DeepSeek V3.1 went short against two longs"),
    ("sync", "Gemini 2.5 Pro read again", "After 2 failures"),
    ("follow", "Following Claude Sonnet 4.5", "New trades only"),
    ("cash", "Deposited $10000", ""),
]


def _activity(random: Random, number: int, people: list[dict[str, Any]]) -> dict[str, Any]:
    kind, words, detail = ACTIVITIES[(30 - number) % len(ACTIVITIES)]
    ago = timedelta(seconds=17 * (30 - number))
    ids = (
        sorted(random.sample([person["follow_id"] for person in people], k=min(len(people), 1 + number % 3)))
        if people
        else []
    )
    return {
        "id": number,
        "at": iso(NOW - ago),
        "world_at": iso(WORLD_NOW - 600 * ago),
        "kind": kind,
        "underlying": "",
        "text": words,
        "detail": detail,
        "follow_ids": ids,
    }


def history_make(*, view: dict[str, Any], points: int = 400, seed: int = 7) -> dict[str, Any]:
    """Return an equity history that ends at the view's newest point."""
    random = Random(seed)
    end = int(WORLD_NOW.timestamp())
    times = [end - 1800 * (points - 1 - n) for n in range(points)]

    def line(last: float) -> list[list[float]]:
        values = walk(random, 10000, points, 0.006)
        stretch = (last / values[-1]) ** (1 / (points - 1))
        return [
            [at, round(value * stretch**n, 2)]
            for n, (at, value) in enumerate(zip(times, values, strict=True))
        ]

    return {
        "run": 1,
        "note": view["portfolio"]["price_note"],
        "points": [
            [at, str(value), text(value / 10000, "0.000001")]
            for at, value in line(float(view["kpis"]["equity"]))
        ],
        "traders": {key: line(float(value)) for key, value in view["curve"]["traders"].items()},
    }


def candles_make(*, position: dict[str, Any] | None, count: int = 300) -> dict[str, Any]:
    """Return candles that end at a position's mark, and one fill that bought it two hours ago."""
    random = Random(3)
    end = int(datetime.fromisoformat(position["mark_at"]).timestamp()) // 300 * 300 if position else 0
    last, rows = Decimal(position["mark_price"]) if position else Decimal(1), []
    for number in range(count if position else 0):
        first = last * Decimal(str(round(1 + random.gauss(0, 0.001), 6)))
        high, low = max(first, last) * Decimal("1.0004"), min(first, last) * Decimal("0.9996")
        rows.append([end - 300 * number, *(text(price) for price in (first, high, low, last))])
        last = first
    fill = {"at": end - 7200, "side": "BUY", "quantity": "0.0174", "price": rows[24][1]} if rows else None
    return {
        "run": 1,
        "of_this_run": True,
        "note": "Prices between two recorded trades are interpolated",
        "candles": rows[::-1],
        "fills": [fill] if fill else [],
    }


def story_make(*, position: dict[str, Any]) -> Any:
    """What a position's page reads beside the view; nothing of it has happened yet."""
    is_open = "quantity" in position
    return SimpleNamespace(
        is_open=is_open,
        side=position["side"],
        guard=SimpleNamespace(own=False, first_stop_price=None),
        slices=(),
        triggers=(),
        orders=(),
        entry_price=Decimal(position["entry_price"]) if is_open else Decimal(107310),
        net_pnl=Decimal("-1.20"),
        position=SimpleNamespace(
            pk=position["id"],
            instrument_id=position["code"],
            policy="perp",
            opened_world_at=WORLD_NOW - timedelta(hours=7),
            closed_world_at=None if is_open else WORLD_NOW,
            get_status_display="Active" if is_open else "Closed",
            realized_pnl=Decimal(0),
            fees=Decimal("1.20"),
            funding=Decimal(0),
        ),
    )


def change_make(*, view: dict[str, Any], count: int, seed: int) -> dict[str, Any]:
    """Return a change as prices move: `count` positions, key figures, curve and every trader's card."""
    random = Random(seed)
    touched = random.sample(sorted(view["positions"]), k=min(count, len(view["positions"])))
    positions = {}
    for key in touched:
        place = dict(view["positions"][key])
        mark = Decimal(place["mark_price"]) * Decimal(str(1 + random.gauss(0, 0.002)))
        entry, quantity = Decimal(place["entry_price"]), Decimal(place["quantity"])
        place.update(
            mark_price=text(mark, "0.00001"),
            notional=text(abs(quantity * mark)),
            unrealized_pnl=text(quantity * (mark - entry)),
            unrealized_pct=text((mark / entry - 1) * 100 * (1 if quantity > 0 else -1)),
            slices=[
                part | {"unrealized_pnl": text(Decimal(part["quantity"]) * (mark - entry))}
                for part in place["slices"]
            ],
        )
        positions[key] = place
    equity = Decimal(view["kpis"]["equity"]) + Decimal(str(round(random.gauss(0, 30), 2)))
    traders = {
        key: person
        | {"total_pnl": text(Decimal(person["total_pnl"]) + Decimal(str(round(random.gauss(0, 9), 2))))}
        for key, person in view["traders"].items()
    }
    at = datetime.fromisoformat(view["curve"]["at"]) + timedelta(minutes=10)
    return {
        "set": {
            "kpis": view["kpis"]
            | {
                "equity": text(equity),
                "day_pnl": text(random.gauss(100, 40)),
                "total_pnl": text(equity - 10000),
            },
            "curve": view["curve"]
            | {"at": iso(at), "portfolio": text(equity), "unit_value": text(equity / 10000, "0.000001")},
            "positions": positions,
            "traders": traders,
        },
        "drop": {},
    }
