"""The two kinds of worlds a random sequence may play in: one made up move by move, and the recorded ones.

Both drive the real sync: the made-up traders through a source that reads them from a script, the recorded
ones through the replay source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from core.clock import WorldTime
from core.instruments import Instrument
from markets.models import LIVE, World
from markets.recordings import InstrumentRecord, recording_get
from markets.services import instruments_ensure, marks_write, world_ensure, world_run_start
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, TraderPosition, TraderRead
from traders.models import Trader
from traders.recordings import recorded_traders
from traders.services import trader_wake, trader_wake_recorded
from traders.sources.base import SourceHistory

D = Decimal
# Leverage sets the paper venue's depth per mark (250 quote units each): thin coins fill in several parts.
INSTRUMENTS = (
    Instrument("BTC", "BTC", D(1), D("0.00001"), 1, max_leverage=40),
    Instrument("UBTC", "BTC", D(1), D("0.00001"), 1, max_leverage=10),  # Unit's wrapped coin: a BTC conflict
    Instrument("ETH", "ETH", D(1), D("0.0001"), 2, max_leverage=25),
    Instrument("DOGE", "DOGE", D(1), D(1), 6, max_leverage=3),
    Instrument("kPEPE", "PEPE", D(1000), D(1), 6, max_leverage=3),
)
PRICES = {
    "BTC": D(100000),
    "UBTC": D(100000),
    "ETH": D(4000),
    "DOGE": D("0.2"),
    "kPEPE": D("0.01"),
}
CODES = tuple(PRICES)
EQUITY = D(10000)


@dataclass
class MadeUpTrader:
    """What a made-up trader holds; ``lie`` is what its next reads say instead."""

    equity: Decimal = EQUITY
    positions: dict[str, TraderPosition] = field(default_factory=dict)
    lie: str = ""


class Play:
    """A world under the machine's hand. Wall time only moves when ``pass_time`` is called."""

    kind: str
    keys: tuple[str, ...]

    def __init__(self, *, now: datetime) -> None:
        self.now = now

    @property
    def world(self) -> World:
        """The world's row."""
        raise NotImplementedError

    def pass_time(self, *, seconds: float, marks: bool = True) -> None:
        """Let wall time pass and write the marks of that moment."""
        self.now += timedelta(seconds=seconds)
        if marks:
            self.marks_write()

    def marks_write(self) -> None:
        """Write the marks of now."""
        raise NotImplementedError

    def trader_move(self, *, key: str, moves: Sequence[tuple[str, Decimal]], hours: float) -> None:
        """Let a trader do something, and make it due."""
        raise NotImplementedError

    def trader_turn(self, *, key: str, factor: Decimal) -> None:
        """Let a trader change everything it holds, and make it due."""
        raise NotImplementedError


class MadeUpWorld(Play):
    """The live world with instruments, prices and traders of our own."""

    kind = "hyperliquid"
    keys = tuple(f"0x{number:040x}" for number in range(1, 13))

    def __init__(self, *, now: datetime) -> None:
        super().__init__(now=now)
        self.prices = dict(PRICES)
        self.traders = {key: MadeUpTrader() for key in self.keys}
        instruments_ensure(instruments=[InstrumentRecord(spec, "made up") for spec in INSTRUMENTS])
        world_ensure(name=LIVE, now=now)
        self.marks_write()

    @property
    def world(self) -> World:
        return World.objects.get(pk=LIVE)

    def marks_write(self) -> None:
        marks_write(world=self.world, prices=self.prices, quoted_at=self.now, received_at=self.now)

    def prices_move(self, *, factors: Sequence[Decimal]) -> None:
        """Multiply the prices; the wrapped coin goes with its original."""
        for code, factor in zip(("BTC", "ETH", "DOGE", "kPEPE"), factors, strict=True):
            self.prices[code] = max(self.prices[code] * factor, D("0.0001")).quantize(D("0.000001"))
        self.prices["UBTC"] = self.prices["BTC"]

    def trader_move(self, *, key: str, moves: Sequence[tuple[str, Decimal]], hours: float) -> None:
        """Take each instrument to a multiple of the trader's equity (0 closes it)."""
        trader = self.traders[key]
        trader.lie = ""
        for code, exposure in moves:
            quantity = (trader.equity * exposure / self.prices[code]).quantize(D("0.000001"))
            trader.positions.pop(code, None)
            if quantity:
                price = self.prices[code]
                trader.positions[code] = TraderPosition(code, quantity, price, price, self.now)
        self.due(key)

    def trader_turn(self, *, key: str, factor: Decimal) -> None:
        """Multiply all positions: 0 closes them, −1 turns them round."""
        trader = self.traders[key]
        trader.lie = ""
        kept = {code: replace(p, quantity=p.quantity * factor) for code, p in trader.positions.items()}
        trader.positions = {code: position for code, position in kept.items() if position.quantity}
        self.due(key)

    def due(self, key: str) -> None:
        """Make a trader due now."""
        ids = list(Trader.objects.filter(kind=self.kind, key=key).values_list("pk", flat=True))
        trader_wake(trader_ids=ids, now=self.now)


class RecordedWorld(Play):
    """A recorded set at ten minutes a wall second."""

    kind = "replay"

    def __init__(self, *, name: str, now: datetime) -> None:
        super().__init__(now=now)
        self._name = name
        self.keys = tuple(trader.key for trader in recorded_traders() if trader.world == name)
        world_ensure(name=name, now=now, speed=D(600))

    @property
    def world(self) -> World:
        return World.objects.get(pk=self._name)

    @property
    def world_at(self) -> datetime:
        """The world's time."""
        return self.world.clock().at(self.now)

    def marks_write(self) -> None:
        at = self.world_at
        prices = recording_get(name=self._name).prices_at(at)
        marks_write(world=self.world, prices=prices, quoted_at=at, received_at=self.now)

    def trader_move(self, *, key: str, moves: Sequence[tuple[str, Decimal]], hours: float) -> None:
        """Let the recording go on; what its traders did meanwhile is theirs to choose."""
        self.pass_time(seconds=hours * 6)
        trader_wake_recorded(world=self._name, keys=self.keys, now=self.now)

    def trader_turn(self, *, key: str, factor: Decimal) -> None:
        """Let a recorded day and a half go by."""
        self.trader_move(key=key, moves=(), hours=36)

    def run_begin(self) -> None:
        """Start the recording over."""
        world_run_start(world=self.world, now=self.now)


class ScriptedSource:
    """Reads the made-up traders of the world that is played now."""

    max_batch = 1000
    authoritative = False
    networked = False

    def __init__(self) -> None:
        self.play: MadeUpWorld | None = None

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Return what each trader holds, or its lie."""
        return [self._read_one(key, now) for key in keys]

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return an empty past."""
        return SourceHistory(recent_pnl=(), ever_traded=True)

    async def close(self) -> None:
        """Nothing to give back."""

    def _read_one(self, key: str, now: datetime) -> ReadResult:
        assert self.play is not None
        trader = self.play.traders[key]
        equity, positions = trader.equity, tuple(trader.positions.values())
        match trader.lie:
            case "no answer":
                failure = ReadFailure(FailureKind.FAILED, "no usable answer")
                return ReadResult(key=key, asked_at=now, failure=failure)
            case "too many requests":
                failure = ReadFailure(FailureKind.RATE_LIMITED, "429", retry_after_s=30)
                return ReadResult(key=key, asked_at=now, failure=failure)
            case "empty":
                positions = ()
            case "negative equity":
                equity = D(-5)
            case "not a number":
                equity = D("NaN")
            case "unknown instrument":
                positions = (*positions, TraderPosition("NEVERSEEN", D(5), D(3)))
        read = TraderRead(equity=equity, positions=positions, world_at=now)
        return ReadResult(key=key, asked_at=now, read=read)


LIES = ("no answer", "too many requests", "empty", "negative equity", "not a number", "unknown instrument")
