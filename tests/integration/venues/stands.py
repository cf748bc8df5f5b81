"""One way to talk to four venues in tests: paper, and the loopback exchanges.

A stand makes requests for its account, sets the price its orders meet, and makes the line misbehave. Its
time can be moved on without waiting: the venue's clock moves along.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

from accounts.sealing import AccountKeys
from core.clock import SystemClock
from execution.accounts import LiveKeys
from execution.client_ids import client_order_id_new
from execution.models import PaperFault, PaperHolding, PaperOrder, PaperStop
from execution.venues import live_venue_get
from execution.venues.base import OrderRef, OrderRequest, StopRequest
from execution.venues.live import LiveVenue
from execution.venues.paper_line import PaperLine
from execution.venues.paper_matching import paper_match
from execution.venues.paper_stops import paper_stops_touch
from markets.models import LIVE, Instrument
from markets.services import marks_write, world_ensure
from markets.venue_rules import venue_rules_refresh
from tests.loopback import binance_exchange as binance
from tests.loopback import hyperliquid_exchange as hyperliquid
from tests.loopback.exchange_line import LoopbackExchange

ACCOUNT = "portfolio:7"


class MovedClock(SystemClock):
    """The machine's clock, moved on by a test."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the moved time."""
        return datetime.now(tz=UTC) + self.ahead


class Stand:
    """What the contract asks of a venue; quantities and prices fit the rules of all of them."""

    name = ""
    policy = "perp"
    minimum = D(10)  # of an order's value
    sure_at_once = False  # whether "not known" is believed while a request may be on its way

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.venue: Any = None

    @property
    def now(self) -> datetime:
        """The stand's time."""
        return self.clock.now()

    def request(
        self, side: str = "BUY", quantity: str = "0.01", limit: str = "50000", **more: Any
    ) -> OrderRequest:
        """Return an order of the account."""
        fields = {
            "client_order_id": client_order_id_new(),
            "account": ACCOUNT,
            "world": LIVE,
            "instrument_code": "BTC",
            "policy": self.policy,
            "side": side,
            "quantity": D(quantity),
            "limit_price": D(limit),
            "reduce_only": side == "SELL" and self.policy == "spot",
            "valid_until": self.now + timedelta(seconds=5),
            "expires_at": self.now + timedelta(seconds=60),
        }
        return OrderRequest(**(fields | more))

    def stop(
        self, side: str = "SELL", quantity: str = "0.01", trigger: str = "45000", **more: Any
    ) -> StopRequest:
        """Return a stop of the account."""
        fields = {
            "client_order_id": client_order_id_new(),
            "account": ACCOUNT,
            "world": LIVE,
            "instrument_code": "BTC",
            "policy": self.policy,
            "side": side,
            "quantity": D(quantity),
            "trigger_price": D(trigger),
            "valid_until": self.now + timedelta(seconds=5),
        }
        return StopRequest(**(fields | more))

    def submit(self, request: OrderRequest) -> Any:
        """Send an order."""
        return self.venue.order_submit(request=request, now=self.now)

    def fetch(self, request: OrderRequest | StopRequest) -> Any:
        """Ask about an order."""
        return self.venue.order_fetch(order=ref(request))

    def cancel(self, request: OrderRequest) -> Any:
        """Cancel an order."""
        return self.venue.order_cancel(order=ref(request), now=self.now)

    def hold(self, quantity: str) -> None:
        """Buy this much at 50,000."""
        self.price("50000")
        self.submit(self.request("BUY", quantity, "50500"))
        self.price("50000")

    # ------------------------------------------------------------ what each stand does its own way
    def price(self, price: str, *, depth: str | None = None) -> None:
        """Set BTC's price, of which `depth` can be had, and let what waits meet it."""
        raise NotImplementedError

    def lose_answer(self) -> None:
        """Let the next sending be carried out and not answered."""
        raise NotImplementedError

    def lose_request(self) -> None:
        """Let the next sending never arrive, which its sender cannot know."""
        raise NotImplementedError

    def busy(self) -> None:
        """Let the next sending be turned away for now."""
        raise NotImplementedError

    def taken(self, client_order_id: str) -> int:
        """Return how many orders or stops the venue ever took under a client id."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for the venue too."""
        self.clock.ahead += timedelta(seconds=seconds)


class PaperStand(Stand):
    """The paper venue; a price is a mark, of which one order of any size in these tests gets all."""

    name = "paper"
    sure_at_once = True

    def __init__(self) -> None:
        super().__init__()
        self.world = world_ensure(name=LIVE, now=self.now)
        Instrument.objects.create(
            code="BTC", underlying="BTC", quantity_step=D("0.00001"), price_places=1, max_leverage=40
        )
        self.venue = PaperLine(clock=self.clock)

    def price(self, price: str, *, depth: str | None = None) -> None:
        if depth is not None:
            # A mark shows 250 quote units per unit of leverage: so many show this depth.
            leverage = int(D(depth) * D(price) / 250) + 1
            Instrument.objects.update(max_leverage=leverage)
        else:
            Instrument.objects.update(max_leverage=40)
        self.pass_time(1)
        marks_write(world=self.world, prices={"BTC": D(price)}, quoted_at=self.now, received_at=self.now)
        paper_stops_touch(world=LIVE, now=self.now)
        paper_match(world=LIVE, now=self.now, clock=self.world.clock())

    def lose_answer(self) -> None:
        self._fault(PaperFault.Kind.TIMEOUT_AFTER)

    def lose_request(self) -> None:
        self._fault(PaperFault.Kind.TIMEOUT_BEFORE)

    def busy(self) -> None:
        self._fault(PaperFault.Kind.UNAVAILABLE)

    def taken(self, client_order_id: str) -> int:
        stops = PaperStop.objects.filter(client_order_id=client_order_id).exclude(status="rejected").count()
        orders = PaperOrder.objects.filter(client_order_id=client_order_id).exclude(status="rejected").count()
        return max(stops, orders)

    def hold(self, quantity: str) -> None:
        PaperHolding.objects.create(account=ACCOUNT, instrument_code="BTC", quantity=D(quantity))

    def _fault(self, kind: PaperFault.Kind) -> None:
        PaperFault.objects.create(operation=PaperFault.Operation.SUBMIT, kind=kind)


class LoopbackStand(Stand):
    """A loopback exchange behind the live venue."""

    exchange: Any
    policy_of = ""
    sends = ""  # what the text of a sending holds

    def __init__(self, exchange: LoopbackExchange, settings: Any) -> None:
        super().__init__()
        self.exchange = exchange
        exchange.reset()
        settings.EXCHANGE_GATEWAY = exchange.url
        settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 100_000  # so that no test has to wait
        Instrument.objects.create(
            code="BTC", underlying="BTC", quantity_step=D("0.00001"), price_places=1, max_leverage=40
        )
        venue_rules_refresh(venue=self.venue_name, sandbox=False, policy=self.policy, now=self.now)
        exchange.seen.clear()
        self.keys = self.live_keys()
        self.venue: LiveVenue = live_venue_get(
            name=self.venue_name, clock=self.clock, keys_of=lambda account: self.keys
        )

    venue_name = "binance"

    def live_keys(self, **more: Any) -> LiveKeys:
        """Return the keys of the loopback account."""
        fields = {
            "venue": self.venue_name,
            "sandbox": False,
            "policy": self.policy,
            "quote": "USDT",
            "credential_id": 1,
            "version": "1",
            "keys": AccountKeys(api_key=binance.API_KEY, secret=binance.SECRET),
        }
        return LiveKeys(**(fields | more))

    def lose_answer(self) -> None:
        self.exchange.fault("cut", where=self.sends)

    def lose_request(self) -> None:
        self.exchange.fault("drop", where=self.sends)

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        self.exchange.books["skew_ms"] += int(seconds * 1000)

    def sent(self) -> Sequence[Any]:
        """Return every request that was to change the account, in the order in which they came."""
        return [seen for seen in self.exchange.asked() if seen.method != "GET" and seen.path != "/info"]


class BinancePerpStand(LoopbackStand):
    """Binance's USD-M market on loopback."""

    name = "binance-perp"
    minimum = D(100)
    sends = "POST fapi"

    def price(self, price: str, *, depth: str | None = None) -> None:
        self.exchange.price("perp", "BTCUSDT", price, depth=depth)

    def busy(self) -> None:
        self.exchange.fault("refuse", where=self.sends, status=429, headers={"Retry-After": "0"})

    def taken(self, client_order_id: str) -> int:
        algos = [a for a in self.exchange.books["algos"] if a["clientAlgoId"] == client_order_id]
        return self.exchange.orders(client_order_id) + len(algos)


class BinanceSpotStand(BinancePerpStand):
    """Binance's spot market on loopback."""

    name = "binance-spot"
    policy = "spot"
    minimum = D(5)
    sends = "POST api"

    def price(self, price: str, *, depth: str | None = None) -> None:
        self.exchange.price("spot", "BTCUSDT", price, depth=depth)


class HyperliquidStand(LoopbackStand):
    """Hyperliquid on loopback."""

    name = "hyperliquid"
    venue_name = "hyperliquid"
    sends = "/exchange"

    def live_keys(self, **more: Any) -> LiveKeys:
        keys = AccountKeys(
            api_key=hyperliquid.SIGNER, secret=hyperliquid.PRIVATE_KEY, account=hyperliquid.ACCOUNT
        )
        return super().live_keys(**({"quote": "USDC", "keys": keys} | more))

    def price(self, price: str, *, depth: str | None = None) -> None:
        self.exchange.price("BTC", price, depth=depth)

    def busy(self) -> None:
        self.exchange.fault("refuse", where=self.sends, status=429, body="null")

    def taken(self, client_order_id: str) -> int:
        return self.exchange.orders(client_order_id)


def ref(request: OrderRequest | StopRequest) -> OrderRef:
    """Return what something sent is asked about by."""
    return OrderRef(
        client_order_id=request.client_order_id,
        account=request.account,
        instrument_code=request.instrument_code,
        policy=request.policy,
    )
