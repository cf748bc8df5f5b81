"""The shape of the live view, for the document of the API; ``docs/live-view.md`` says what it means."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import POLICY_CHOICES, PROFILE_CHOICES, RULE_CHOICES, Portfolio
from allocation.models import BreakerTrip, Follow
from api.fields import CONFLICT_KINDS, Shape, flag, moment, number, one_of, whole, words
from core.types import PositionSide
from engine.models import Command
from execution.models import SIDE_CHOICES as ORDER_SIDES
from execution.models import Order
from positions.models import Position
from traders.models import KIND_CHOICES, SIDE_CHOICES, Trader


class ViewPortfolio(Shape):
    """What the portfolio is, and the clock of its market world."""

    id = whole()
    name = words()
    mode = one_of(Portfolio.Mode.choices)
    policy = one_of(POLICY_CHOICES)
    risk_profile = one_of(PROFILE_CHOICES)
    conflict_rule = one_of(RULE_CHOICES)
    auto_rebalance = flag()
    weighting = one_of(Portfolio.Weighting.choices)
    trading_mode = one_of(Portfolio.TradingMode.choices)
    dry_run = flag()
    approves_conflicts = flag()
    status = one_of(Portfolio.Status.choices)
    status_reason = words()
    start_at = moment()
    world = words("Null before the first follow.", null=True)
    world_label = words(null=True)
    world_anchor_at = moment("World time at `anchored_at`.", null=True)
    anchored_at = moment(null=True)
    world_end_at = moment(null=True)
    world_speed = number("Seconds of world time in a second.", null=True)
    run = whole()
    price_note = words()


class ViewKpis(Shape):
    """Worth and results; percentages are percent points, of results per fund unit."""

    equity = number()
    peak_equity = number()
    peak_at = moment(null=True)
    day_pnl = number()
    day_pnl_pct = number(null=True)
    total_pnl = number()
    total_pnl_pct = number()
    gross = number()
    net = number()
    exposure_pct = number(null=True)
    exposure_limit_pct = number()
    drawdown_pct = number(null=True)
    win_rate_pct = number(null=True)
    closed_count = whole()
    deposits_net = number()


class IdlePart(Shape):
    """One instrument's share of idle capital."""

    underlying = words()
    amount = number()


class IdleCause(Shape):
    """What one limit kept idle."""

    limit = words()
    label = words()
    amount = number()
    text = words()
    parts = IdlePart(many=True)


class ViewCapital(Shape):
    """The capital account: total = free + reserved + committed + deployed."""

    total = number()
    cash = number()
    free = number()
    reserved = number()
    committed = number()
    deployed = number()
    deficit = number()
    allocated = number()
    idle = number("What the traders wanted and is not there.")
    idle_by = IdleCause(many=True)


class Gauge(Shape):
    """How much of one breaker is used, in percent points or as a count."""

    kind = one_of(BreakerTrip.Kind.choices)
    label = words()
    unit = one_of(["percent", "count"])
    value = number(null=True)
    threshold = number(null=True)
    use_pct = number(null=True)
    stands = flag("It has tripped.")
    effect = one_of(BreakerTrip.Effect.choices)
    resets = one_of(BreakerTrip.Resets.choices)
    text = words()


class CopyStop(Shape):
    """How much of one trader's stop-loss is used."""

    follow_id = whole()
    unit = one_of(["percent", "count"])
    value = number(null=True)
    threshold = number(null=True)
    use_pct = number(null=True)


class ViewTrip(Shape):
    """One breaker that stands; reset it with the command `breaker_reset`."""

    id = whole()
    kind = one_of(BreakerTrip.Kind.choices)
    label = words()
    effect = one_of(BreakerTrip.Effect.choices)
    resets = one_of(BreakerTrip.Resets.choices)
    follow_id = whole(null=True)
    reason = words()
    value = number(null=True)
    threshold = number(null=True)
    tripped_at = moment()
    world_at = moment()


class ViewBreakers(Shape):
    """Trading mode, the use of every breaker, and what stands."""

    trading_mode = one_of(Portfolio.TradingMode.choices)
    one_position = words("Why at most one position may be open now; empty where more may.")
    gauges = Gauge(many=True)
    copy_stops = CopyStop(many=True)
    trips = ViewTrip(many=True)


class ViewCurve(Shape):
    """The newest point of each equity line; `traders` by follow id."""

    at = moment(null=True)
    run = whole()
    portfolio = number()
    unit_value = number()
    traders = serializers.DictField(child=number())


class ViewHealth(Shape):
    """How fresh prices and traders are, and when the copy cycle last ran."""

    marks_received_at = moment(null=True)
    marks_stale = flag()
    traders_degraded = whole()
    last_cycle_at = moment(null=True)
    next_cycle_at = moment(null=True)
    cycle_error = words()


class LastSignal(Shape):
    """What a strategy said last of one instrument."""

    code = words()
    side = one_of(SIDE_CHOICES)


class ViewFidelity(Shape):
    """Medians of 30 days against the trader's own prices, in basis points; positive is worse for us."""

    fills = whole()
    p50_bps = number()
    p95_bps = number()
    delay_bps = number()
    execution_bps = number()
    fee_bps = number()
    unsized_pct = number(null=True)
    lag_least_s = number(null=True)
    lag_most_s = number(null=True)


class StyleChange(Shape):
    """One change of a trader's style that stands and was not dismissed."""

    id = whole()
    measure = words()
    text = words()
    world_at = moment()


class ViewTrader(Shape):
    """A followed trader: its own result, our result with it, and how fresh it is."""

    follow_id = whole()
    trader_id = whole()
    name = words()
    monogram = words()
    hue = whole()
    order = whole()
    kind = one_of(KIND_CHOICES)
    detail = words()
    key = words()
    note = words()
    signals = LastSignal(many=True)
    fidelity = ViewFidelity(allow_null=True)
    style = StyleChange(many=True)  # type: ignore[assignment]  # a field may be called so
    style_action = one_of(Follow.StyleAction.choices)
    follow_status = one_of(Follow.Status.choices)
    sync_status = one_of(Trader.Status.choices)
    weight_pct = number()
    assigned = number()
    equity = number(null=True)
    total_pnl = number()
    total_pnl_pct = number(null=True)
    our_positions = whole()
    trader_return_pct = number(null=True)
    day_return_pct = number(null=True)
    max_drawdown_pct = number(null=True)
    exposure = number(null=True)
    position_count = whole(null=True)
    sparkline = serializers.ListField(child=serializers.JSONField())
    synced_at = moment(null=True)
    next_sync_at = moment(null=True)
    failing_since = moment(null=True)
    error = words()
    error_rate_pct = number(null=True)


class TakeProfit(Shape):
    """One step of take profit, by gain or by price."""

    gain_pct = serializers.CharField(required=False)
    price = serializers.CharField(required=False)
    fraction_pct = number()


class ExitRulesShape(Shape):
    """Exit rules as they are written: percent points and days, "0" is off."""

    stop_loss_pct = number()
    trail_from_pct = number()
    trail_by_pct = number()
    time_stop_days = number()
    take_profit = TakeProfit(many=True)


class ExitStep(Shape):
    """One step of take profit with its price."""

    price = number(null=True)
    fraction_pct = number()
    done = flag()


class StandingTrigger(Shape):
    """The rule that is closing a position now."""

    kind = words()
    text = words()
    status = words()


class ExitLevels(Shape):
    """What closes a position by itself."""

    stop = number(null=True)
    first_stop = number(null=True)
    trail = number(null=True)
    activation = number(null=True)
    peak = number(null=True)
    target = number(null=True)
    steps = ExitStep(many=True)
    time_stop_at = moment("World time.", null=True)
    opened_at = moment("World time.", null=True)
    own = flag("Its owner set the rules for this position.")
    rules = ExitRulesShape()
    trigger = StandingTrigger(allow_null=True)


class ViewSlice(Shape):
    """One trader's part of a position; `follow_id` null is the owner's own."""

    follow_id = whole(null=True)
    monogram = words()
    hue = whole()
    quantity = number("Signed, long positive.")
    share_pct = number(null=True)
    unrealized_pnl = number(null=True)
    realized_pnl = number()


class ViewPosition(Shape):
    """An open position with a slice per trader."""

    id = whole()
    code = words("The instrument.")
    underlying = words()
    side = one_of([side.value for side in PositionSide])
    status = one_of(Position.Status.choices)
    quantity = number("Signed, long positive.")
    notional = number("Unsigned, in the quote currency.")
    share_pct = number(null=True)
    entry_price = number(null=True)
    mark_price = number(null=True)
    mark_at = moment(null=True)
    mark_stale = flag()
    unrealized_pnl = number(null=True)
    unrealized_pct = number(null=True)
    realized_pnl = number()
    fees = number()
    funding = number()
    leverage = number(null=True)
    liquidation_price = number(null=True)
    opened_at = moment("World time.")
    exits = ExitLevels(allow_null=True)
    slices = ViewSlice(many=True)
    working_orders = whole()


class ViewHolder(Shape):
    """One trader's wish in a conflict, in our size; signed, long positive."""

    follow_id = whole(null=True)
    monogram = words()
    hue = whole()
    side = words()
    quantity = number()
    notional = number()
    counted = flag("Whether the rule counts it.")
    opened_at = moment(null=True)


class RulePreview(Shape):
    """What one rule would make of a conflict; signed quantities."""

    before = number()
    after = number()
    notional = number()
    capped = words("Which limit cut it.")


class ViewApproval(Shape):
    """What the owner is asked; answer with the command `approve` or `reject`. `previews` by rule."""

    id = whole()
    lapses_at = moment()
    previews = serializers.DictField(child=RulePreview())


class ViewConflict(Shape):
    """A conflict that stands now."""

    id = whole()
    underlying = words()
    kind = one_of(CONFLICT_KINDS)
    rule = one_of(RULE_CHOICES)
    before = number()
    after = number()
    after_notional = number()
    mark_price = number()
    capped_reason = words()
    approval = ViewApproval(allow_null=True)
    at = moment()
    world_at = moment()
    holders = ViewHolder(many=True)


class ViewOrder(Shape):
    """An order that works at the venue, or whose outcome is unknown."""

    id = whole()
    code = words("The instrument.")
    side = one_of(ORDER_SIDES)
    quantity = number()
    filled_quantity = number()
    limit_price = number(null=True)
    average_price = number(null=True)
    status = one_of(Order.Status.choices)
    purpose = one_of(Order.Purpose.choices)
    origin = one_of(Order.Origin.choices)
    market = flag()
    reduce_only = flag()
    created_at = moment()
    expires_at = moment(null=True)


class ViewCommand(Shape):
    """One of the newest commands with its answer."""

    id = serializers.UUIDField()
    kind = one_of(Command.Kind.choices)
    label = words()
    data = serializers.DictField()  # type: ignore[assignment]  # a field may be called so
    status = one_of(Command.Status.choices)
    answer = words()
    result = serializers.DictField()
    via = words()
    accepted_at = moment()
    finished_at = moment(null=True)


class ViewActivity(Shape):
    """One of the newest decisions and events."""

    id = whole()
    at = moment()
    world_at = moment()
    kind = words()
    underlying = words()
    text = words()
    detail = words()
    follow_ids = serializers.ListField(child=whole())


class PortfolioWhole(Shape):
    """The live view: one document that page, socket and API share. Keyed sections are by id."""

    portfolio = ViewPortfolio()
    kpis = ViewKpis()
    capital = ViewCapital()
    breakers = ViewBreakers()
    curve = ViewCurve()
    health = ViewHealth()
    traders = serializers.DictField(child=ViewTrader())
    positions = serializers.DictField(child=ViewPosition())
    conflicts = serializers.DictField(child=ViewConflict())
    orders = serializers.DictField(child=ViewOrder())
    commands = serializers.DictField(child=ViewCommand())
    activity = serializers.DictField(child=ViewActivity())
