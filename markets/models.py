"""Worlds, instruments, marks, candles, and the hourly samples that returns are taken from."""

from __future__ import annotations

from django.db import models
from django.db.models import Func
from django.db.models.functions import Mod
from django.db.models.lookups import Exact

from core.clock import WorldTime, utc_now
from core.decimals import PRICE_DIGITS, QUANTITY_DIGITS
from core.instruments import Instrument as InstrumentSpec
from core.types import Policy
from markets.domain.candles import Candle as CandleData

LIVE = "live"
_EPOCH: models.Field = models.DecimalField(max_digits=20, decimal_places=6)


class World(models.Model):
    """A market world: the live one, or a replay of a recorded set ("replay:alpha_arena").

    The columns are those of ``core.clock.WorldTime``. Each loop of a replay is a new ``run``.
    """

    name = models.CharField(max_length=48, primary_key=True)
    label = models.CharField(max_length=80)
    price_note = models.CharField(max_length=240, blank=True, default="")
    run = models.PositiveIntegerField(default=1)
    anchored_at = models.DateTimeField()
    world_anchor_at = models.DateTimeField()
    world_start_at = models.DateTimeField()
    world_end_at = models.DateTimeField(null=True, blank=True)
    speed = models.DecimalField(max_digits=10, decimal_places=3, default=1)
    loops = models.BooleanField(default=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(speed__gt=0), name="world_speed_positive")]

    def __str__(self) -> str:
        return self.label

    def clock(self) -> WorldTime:
        """Return the pure description of this world's time."""
        return WorldTime(
            world=self.name,
            run=self.run,
            anchored_at=self.anchored_at,
            world_anchor_at=self.world_anchor_at,
            speed=self.speed,
            world_end_at=self.world_end_at,
        )


class Instrument(models.Model):
    """A tradable instrument and its venue's rules; see ``core.instruments.Instrument`` for the units."""

    code = models.CharField(max_length=48, primary_key=True)
    underlying = models.CharField(max_length=48, db_index=True)
    multiplier = models.DecimalField(max_digits=18, decimal_places=6, default=1)
    quantity_step = models.DecimalField(**QUANTITY_DIGITS)
    price_places = models.PositiveSmallIntegerField()
    price_digits = models.PositiveSmallIntegerField(default=5)
    min_notional = models.DecimalField(max_digits=18, decimal_places=2, default=10)
    max_leverage = models.PositiveSmallIntegerField(default=20)
    quote = models.CharField(max_length=8, default="USD")
    funding_rate_hourly = models.DecimalField(
        max_digits=12,
        decimal_places=10,
        default="0.0000125",
        help_text="Fraction of notional that longs pay shorts each hour; the default "
        "is Hyperliquid's interest part, 0.01 % per 8 h.",
    )
    source_note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity_step__gt=0), name="instrument_step_positive"),
            models.CheckConstraint(
                condition=models.Q(max_leverage__gte=1), name="instrument_leverage_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def spec(self) -> InstrumentSpec:
        """Return the pure description that the deciding code works with."""
        return InstrumentSpec(
            code=self.code,
            underlying=self.underlying,
            multiplier=self.multiplier,
            quantity_step=self.quantity_step,
            price_places=self.price_places,
            price_digits=self.price_digits,
            min_notional=self.min_notional,
            max_leverage=self.max_leverage,
            quote=self.quote,
        )


class MarketContext(models.Model):
    """How much of an instrument trades in the live world, and what its book is like."""

    instrument = models.OneToOneField(
        Instrument, on_delete=models.CASCADE, primary_key=True, related_name="context"
    )
    day_volume = models.DecimalField(
        max_digits=24, decimal_places=2, help_text="Traded in the last 24 hours, in quote currency."
    )
    impact_spread = models.DecimalField(
        max_digits=12,
        decimal_places=8,
        null=True,
        blank=True,
        help_text="(Ask − bid) ÷ their mean at the venue's impact size, a fraction.",
    )
    read_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.day_volume}"


class Mark(models.Model):
    """The last price of an instrument in one world, when it was quoted and when it reached us."""

    world = models.ForeignKey(World, on_delete=models.CASCADE, related_name="marks")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="marks")
    price = models.DecimalField(**PRICE_DIGITS)
    run = models.PositiveIntegerField(default=1)
    quoted_at = models.DateTimeField(help_text="World time of the quote.")
    received_at = models.DateTimeField(default=utc_now, help_text="Wall time at which the quote reached us.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["world", "instrument"], name="mark_unique_per_world"),
            models.CheckConstraint(condition=models.Q(price__gt=0), name="mark_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.price}"


class PriceSample(models.Model):
    """What an instrument of the live world cost at a full hour, within five minutes; returns come from these.

    Replays need none: their prices are recorded.
    """

    world = models.ForeignKey(World, on_delete=models.CASCADE, related_name="samples")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField(help_text="The full hour, in world time.")
    price = models.DecimalField(**PRICE_DIGITS)

    class Meta:
        indexes = [models.Index(fields=["at"], name="sample_by_hour")]
        constraints = [
            models.UniqueConstraint(fields=["world", "instrument", "at"], name="sample_once_an_hour"),
            models.CheckConstraint(condition=models.Q(price__gt=0), name="sample_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.price} at {self.at:%d %b %H:%M}"


class CandleSource(models.TextChoices):
    """Where a candle's prices come from."""

    MARKS = "marks", "Prices the feed saw"
    VENUE = "venue", "The venue's own trades"
    RECORDED = "recorded", "Recorded trades of a replay"


class Candle(models.Model):
    """Five minutes of one instrument's price in one run of a world; see ``markets.domain.candles``.

    A closed candle never changes, with one exception: what was built from marks gives way, once, to the
    venue's own, which knows every trade and the volume.
    """

    world = models.ForeignKey(World, on_delete=models.CASCADE, related_name="candles")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="candles")
    run = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(help_text="World time, a multiple of five minutes.")
    open = models.DecimalField(**PRICE_DIGITS)
    high = models.DecimalField(**PRICE_DIGITS)
    low = models.DecimalField(**PRICE_DIGITS)
    close = models.DecimalField(**PRICE_DIGITS)
    volume = models.DecimalField(
        **QUANTITY_DIGITS, null=True, blank=True, help_text="Units traded; empty where nobody recorded it."
    )
    ticks = models.PositiveIntegerField(help_text="Prices in it, or the venue's number of trades.")
    source = models.CharField(max_length=8, choices=CandleSource.choices)
    last_at = models.DateTimeField(help_text="World time of the newest price in it.")
    closed = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["world", "instrument", "run", "opened_at"], name="candle_once_an_interval"
            ),
            models.CheckConstraint(condition=models.Q(low__gt=0), name="candle_price_positive"),
            models.CheckConstraint(
                condition=models.Q(
                    low__lte=models.F("open"),
                    high__gte=models.F("open"),
                )
                & models.Q(low__lte=models.F("close"), high__gte=models.F("close")),
                name="candle_low_and_high_enclose",
            ),
            models.CheckConstraint(
                condition=Exact(
                    Mod(
                        Func(
                            "opened_at", template="EXTRACT(EPOCH FROM %(expressions)s)", output_field=_EPOCH
                        ),
                        300,
                    ),
                    0,
                ),
                name="candle_opens_every_five_minutes",
            ),
            models.CheckConstraint(
                condition=models.Q(volume__isnull=True) | models.Q(volume__gte=0),
                name="candle_volume_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["world", "opened_at"], name="candle_by_age"),
            models.Index(fields=["world", "run"], condition=models.Q(closed=False), name="candle_open_ones"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.opened_at:%d %b %H:%M} {self.close}"

    def data(self) -> CandleData:
        """Return the pure candle that the deciding code works with."""
        return CandleData(
            opened_at=self.opened_at,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
        )


class VenueInstrument(models.Model):
    """One market of a trading venue and the rules its orders must keep, as the venue last told them.

    Quantities are in units of our instrument, whatever the venue counts in; ``contract_size`` converts.
    A price keeps either a step or, as on Hyperliquid, a number of significant digits and of decimals.
    """

    venue = models.CharField(max_length=24, help_text="As ccxt names it, e.g. 'binance'.")
    sandbox = models.BooleanField(default=False)
    policy = models.CharField(max_length=4, choices=[(policy.value, policy.value) for policy in Policy])
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="venue_rules")
    quote = models.CharField(max_length=8, help_text="What it is paid in, e.g. 'USDT'.")
    symbol = models.CharField(max_length=64, help_text="As ccxt names it, e.g. 'BTC/USDT:USDT'.")
    market_id = models.CharField(max_length=64, help_text="The venue's own name of it, e.g. 'BTCUSDT'.")
    asset_number = models.PositiveIntegerField(
        null=True, blank=True, help_text="The venue's number of it, where orders name it by number."
    )
    quantity_step = models.DecimalField(**QUANTITY_DIGITS)
    min_quantity = models.DecimalField(**QUANTITY_DIGITS, default=0)
    max_quantity = models.DecimalField(**QUANTITY_DIGITS, null=True, blank=True)
    price_step = models.DecimalField(**PRICE_DIGITS, null=True, blank=True)
    price_places = models.PositiveSmallIntegerField(null=True, blank=True)
    price_digits = models.PositiveSmallIntegerField(null=True, blank=True)
    min_notional = models.DecimalField(max_digits=18, decimal_places=8, help_text="In the quote currency.")
    contract_size = models.DecimalField(
        max_digits=24, decimal_places=12, default=1, help_text="Units of our instrument per unit there."
    )
    max_leverage = models.PositiveSmallIntegerField(null=True, blank=True)
    maker_fee = models.DecimalField(max_digits=10, decimal_places=8, help_text="Fraction of notional.")
    taker_fee = models.DecimalField(max_digits=10, decimal_places=8, help_text="Fraction of notional.")
    active = models.BooleanField(default=True, help_text="The venue takes orders for it.")
    read_at = models.DateTimeField(help_text="When the venue told these rules.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["venue", "sandbox", "policy", "instrument", "quote"],
                name="venue_instrument_once_per_quote",
            ),
            models.CheckConstraint(
                condition=models.Q(quantity_step__gt=0, contract_size__gt=0, min_quantity__gte=0),
                name="venue_instrument_quantities",
            ),
            models.CheckConstraint(
                condition=models.Q(price_step__gt=0, price_places__isnull=True, price_digits__isnull=True)
                | models.Q(price_step__isnull=True, price_places__isnull=False, price_digits__gt=0),
                name="venue_instrument_one_price_rule",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol}"

    def spec(self) -> InstrumentSpec:
        """Return the pure description that the deciding code works with, in this venue's steps."""
        ours = self.instrument
        return InstrumentSpec(
            code=ours.code,
            underlying=ours.underlying,
            multiplier=ours.multiplier,
            quantity_step=self.quantity_step,
            price_places=self.price_places or 0,
            price_digits=self.price_digits or ours.price_digits,
            price_step=self.price_step,
            min_notional=self.min_notional,
            min_quantity=self.min_quantity,
            max_quantity=self.max_quantity,
            max_leverage=min(self.max_leverage or ours.max_leverage, ours.max_leverage),
            quote=self.quote,
        )


class PriceMarket(models.Model):
    """Where the live price of an instrument that Hyperliquid does not list comes from: one venue's market.

    An instrument without a row is priced by Hyperliquid. There is one source for each, never two, so that no
    stop is met by the difference between two venues.
    """

    instrument = models.OneToOneField(
        Instrument, on_delete=models.CASCADE, primary_key=True, related_name="price_market"
    )
    venue = models.CharField(max_length=24, help_text="As ccxt names it, e.g. 'binance'.")
    policy = models.CharField(max_length=4, choices=[(policy.value, policy.value) for policy in Policy])
    symbol = models.CharField(max_length=64, help_text="As ccxt names it, e.g. 'BTC/USDT'.")
    active = models.BooleanField(default=True, help_text="The venue still trades it.")
    read_at = models.DateTimeField(help_text="When the venue last listed it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["venue", "policy", "symbol"], name="price_market_once"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} at {self.venue} as {self.symbol}"
