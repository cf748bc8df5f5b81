"""EXT-1, EXT-2: what guards a position follows its real fills, and the database refuses to loosen a stop."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from core.errors import InputError, NotFound
from markets.models import Mark
from positions.booking import FillBooked, fill_book
from positions.exit_settings import GuardEdit, GuardEdited, exit_defaults_set, guard_edit
from positions.exits import defaults_of
from positions.models import ExitDefaults, ExitGuard, Position
from positions.transfers import slices_hand_over, transfers_book
from tests.integration.money.desk import NOW, WORLD, Desk, desk_open

D = Decimal
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100")
    return opened


def filled(desk: Desk, side: str, quantity: str, price: str, **kw: Any) -> FillBooked:
    """Store an order, book one fill of all of it, and move on by a second."""
    order = desk.order(side, quantity, price, **kw)
    booked = fill_book(order_id=order.pk, fill=desk.fill(order, quantity, price), now=desk.now)
    assert booked is not None
    desk.later()
    return booked


def guard() -> ExitGuard:
    return ExitGuard.objects.get()


def levels(row: ExitGuard) -> tuple[Decimal, Decimal, Decimal | None, Decimal | None]:
    """Return entry, peak, stop and trailing stop."""
    return row.entry_price, row.peak_price, row.stop_price, row.trail_price


# ---------------------------------------------------------------- fills
def test_the_first_fill_guards_a_position(desk: Desk) -> None:
    """EXT-1: by the shipped defaults, from the moment of the fill, in the position's world and run."""
    filled(desk, "BUY", "2", "100")
    row = guard()
    assert levels(row) == (D(100), D(100), D(92), None)
    assert (row.stop_loss_pct, row.trail_from_pct, row.trail_by_pct, row.time_stop_days, row.take_profit) == (
        8, 12, 5, 14, [],
    )  # fmt: skip
    assert (row.world_id, row.run, row.instrument_id, row.sign) == (WORLD, 1, "BTC", 1)
    assert (row.since, row.levels_from, row.changed_at, row.opened_world_at) == (NOW, NOW, NOW, NOW)
    assert (row.version, row.episode, row.own, row.first_stop_price, row.ended_at) == (1, 1, False, 92, None)


def test_a_short_is_guarded_in_the_mirror(desk: Desk) -> None:
    """EXT-1: its stop lies above."""
    filled(desk, "SELL", "2", "100", slices={desk.follows[0].pk: "-2"})
    row = guard()
    assert (row.sign, *levels(row)) == (-1, D(100), D(100), D(108), None)


def test_several_fills_of_one_order_move_the_average(desk: Desk) -> None:
    """EXT-2: each raises the version; the stop follows the dearer ones alone, best prices count anew."""
    order = desk.order("BUY", "3", "103")
    for price, entry, stop in (("100", "100", "92"), ("103", "101.5", "93.38"), ("97", "100", "93.38")):
        before = ExitGuard.objects.values_list("version", flat=True).first() or 0
        fill_book(order_id=order.pk, fill=desk.fill(order, "1", price), now=desk.now)
        row = guard()
        assert levels(row) == (D(entry), D(price), D(stop), None)
        assert (row.version, row.changed_at, row.levels_from, row.since) == (
            before + 1, desk.now, desk.now, desk.now,
        )  # fmt: skip
        desk.later()
    assert guard().first_stop_price == 92


def test_reducing_changes_no_level(desk: Desk) -> None:
    """EXT-1: what is left stays guarded as it was."""
    filled(desk, "BUY", "2", "100")
    before = ExitGuard.objects.values().get()
    filled(desk, "SELL", "0.5", "105", reduce_only=True)
    assert ExitGuard.objects.values().get() == before


def test_closing_ends_the_guard_and_a_new_position_has_its_own(desk: Desk) -> None:
    """EXT-1: the ended one stays as it was, for the record."""
    filled(desk, "BUY", "2", "100")
    closed_at = desk.now
    filled(desk, "SELL", "2", "105", reduce_only=True)
    first = guard()
    assert (first.ended_at, first.changed_at, first.version, first.stop_price) == (
        closed_at,
        closed_at,
        2,
        92,
    )
    filled(desk, "BUY", "1", "110")
    second = ExitGuard.objects.exclude(pk=first.pk).get()
    assert levels(second) == (D(110), D(110), D("101.2"), None)
    first.refresh_from_db()
    assert (first.ended_at, first.stop_price) == (closed_at, 92)


def test_a_flip_begins_a_new_life(desk: Desk) -> None:
    """EXT-1: an overfill that turns a long into a short is guarded as the short it is now."""
    filled(desk, "BUY", "1", "100")
    ExitGuard.objects.update(trail_price=99, peak_price=120, steps_done=2, own=True, stop_loss_pct=3)
    order = desk.order("SELL", "1", "104", reduce_only=True)
    fill_book(order_id=order.pk, fill=desk.fill(order, "1.5", "104"), now=desk.now)
    row = guard()
    assert Position.objects.get(pk=row.pk).quantity == D("-0.5")
    assert (row.sign, *levels(row)) == (-1, D(104), D(104), D("112.32"), None)
    assert (row.episode, row.steps_done, row.own, row.stop_loss_pct, row.first_stop_price) == (
        2, 0, False, 8, D("112.32"),
    )  # fmt: skip
    assert (row.since, row.levels_from, row.opened_world_at, row.ended_at) == (
        desk.now,
        desk.now,
        desk.now,
        None,
    )


def test_a_position_whose_slices_net_to_nothing_is_not_guarded(desk: Desk) -> None:
    """EXT-1, BEY-1: nothing is held in all; as soon as something is, a new life begins."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "1", "100", slices={one: "1"})
    netted_at = desk.now
    filled(desk, "SELL", "1", "102", slices={two: "-1"})
    assert Position.objects.get().status != "closed"
    assert guard().ended_at == netted_at
    again_at = desk.now
    filled(desk, "BUY", "1", "103", slices={one: "1"})
    row = guard()
    assert (row.ended_at, row.episode, row.since, levels(row)) == (
        None, 2, again_at, (D(103), D(103), D("94.76"), None),
    )  # fmt: skip


def test_transfers_and_hand_overs_change_no_guard(desk: Desk) -> None:
    """EXT-1: who a part belongs to is nothing the price knows of."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "2", "100", slices={one: "2"})
    before = ExitGuard.objects.values().get()
    transfers_book(
        portfolio=desk.portfolio,
        instrument_code="BTC",
        underlying="BTC",
        pairs=[(one, two, D(1))],
        mark=D(110),
        margin_rate=D(1),
        run=1,
        now=desk.later(),
        world_at=desk.now,
    )
    slices_hand_over(follow=desk.follows[0], now=desk.later(), world_at=desk.now)
    assert {part.follow_id for part in Position.objects.get().slices.all() if part.quantity} == {two, None}
    assert ExitGuard.objects.values().get() == before


def test_what_is_too_small_to_cost_anything_is_booked_and_guarded(desk: Desk) -> None:
    """EXT-1: a cost that rounds to nothing must not keep a fill out of the books."""
    order = desk.order("BUY", "0.00001", "0.1", reserve="1")
    fill_book(order_id=order.pk, fill=desk.fill(order, "0.00000001", "0.1"), now=desk.now)
    assert Position.objects.get().cost == 0
    assert levels(guard()) == (D("0.1"), D("0.1"), D("0.092"), None)


def test_new_positions_take_the_portfolios_own_defaults(desk: Desk) -> None:
    """EXT-2: those of the moment of the first fill; later ones are for later positions."""
    steps = [{"gain_pct": "10", "fraction_pct": "50"}]
    exit_defaults_set(
        portfolio=desk.portfolio, rules={"stop_loss_pct": D(3), "take_profit": steps}, now=desk.now
    )
    filled(desk, "BUY", "1", "100")
    exit_defaults_set(portfolio=desk.portfolio, rules={"stop_loss_pct": D(1)}, now=desk.now)
    row = guard()
    assert (row.stop_price, row.stop_loss_pct, row.trail_by_pct, row.take_profit) == (97, 3, 5, steps)
    with override_settings(EXIT_STOP_LOSS_PCT=D(50)):
        assert defaults_of(portfolio_id=desk.pk).stop_loss_pct == 1


def test_locks_are_taken_in_their_order(desk: Desk) -> None:
    """ARC: capital, order, position, guard; whoever edits takes position, then guard."""
    filled(desk, "BUY", "1", "100")
    order = desk.order("BUY", "1", "100")
    with CaptureQueriesContext(connection) as queries:
        fill_book(order_id=order.pk, fill=desk.fill(order, "1", "100"), now=desk.now)
    assert locked(queries) == [
        "allocation_capitalaccount", "execution_order", "positions_position", "positions_exitguard",
    ]  # fmt: skip
    with CaptureQueriesContext(connection) as queries:
        edit(desk, stop_price=D(95))
    assert locked(queries) == ["positions_position", "positions_exitguard"]


def locked(queries: CaptureQueriesContext) -> list[str]:
    found = [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]]
    return [sql.rsplit('FOR UPDATE OF "', 1)[1].split('"')[0] for sql in found]


# ---------------------------------------------------------------- the database
@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("BUY", "stop_price = stop_price - 0.000000000001"),
        ("BUY", "stop_price = NULL"),
        ("BUY", "trail_price = trail_price - 0.000000000001"),
        ("BUY", "trail_price = NULL"),
        ("BUY", "sign = -1"),
        ("SELL", "stop_price = stop_price + 0.000000000001"),
        ("SELL", "stop_price = NULL"),
        ("SELL", "trail_price = trail_price + 0.000000000001"),
        ("SELL", "trail_price = NULL"),
    ],
)
def test_the_database_refuses_to_loosen_a_stop(desk: Desk, side: str, change: str) -> None:
    """EXT-2, invariant 7: whoever is connected; the row stays as it was."""
    filled(desk, side, "1", "100", slices={desk.follows[0].pk: "1" if side == "BUY" else "-1"})
    ExitGuard.objects.update(trail_price=100)
    before = ExitGuard.objects.values().get()
    with (
        pytest.raises(IntegrityError, match="a stop only tightens"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE positions_exitguard SET {change}")  # noqa: S608  # the cases above
    assert ExitGuard.objects.values().get() == before


def test_the_database_lets_a_stop_tighten_and_a_new_life_begin(desk: Desk) -> None:
    """EXT-2: up for a long, down for a short; with another episode anything goes."""
    filled(desk, "BUY", "1", "100")
    ExitGuard.objects.update(stop_price=D("92.000000000001"), trail_price=95)
    ExitGuard.objects.update(trail_price=96)
    ExitGuard.objects.update(episode=2, sign=-1, stop_price=108, trail_price=None)
    ExitGuard.objects.update(stop_price=107, trail_price=105)
    assert levels(guard()) == (D(100), D(100), D(107), D(105))


# ---------------------------------------------------------------- edits
def edit(desk: Desk, **what: Any) -> GuardEdited:
    position_id = what.pop("position_id", None) or guard().pk
    return guard_edit(
        portfolio=desk.portfolio,
        now=desk.now,
        world_at=what.pop("world_at", desk.now),
        edit=GuardEdit(position_id=position_id, **what),
    )


def test_an_edit_is_kept_as_written_and_raises_the_version(desk: Desk) -> None:
    """EXT-2: rules, levels, who set them, and from when on prices can hit them."""
    filled(desk, "BUY", "1", "100")
    desk.later(60)
    steps = [{"price": "110", "fraction_pct": "50"}, {"gain_pct": "20", "fraction_pct": "100"}]
    rules = {"stop_loss_pct": D("2.5"), "trail_by_pct": D(3), "time_stop_days": D(2), "take_profit": steps}
    edited = edit(desk, rules=rules)
    assert (edited.changed, edited.notes, edited.warnings, edited.underlying) == (True, (), (), "BTC")
    row = guard()
    assert (row.stop_loss_pct, row.trail_from_pct, row.trail_by_pct, row.time_stop_days, row.take_profit) == (
        D("2.5"), 12, 3, 2, steps,
    )  # fmt: skip
    assert levels(row) == (D(100), D(100), D("97.5"), None)
    assert (row.own, row.version, row.changed_at, row.levels_from, row.since) == (
        True, 2, desk.now, desk.now, NOW,
    )  # fmt: skip
    assert row.first_stop_price == 92
    again = edit(desk, rules=rules)
    assert (again.changed, guard().version) == (False, 2)


def test_a_stop_price_survives_and_an_enlargement_only_tightens_it(desk: Desk) -> None:
    """EXT-2: put at 95, it stays there until the rule's own stop is nearer."""
    filled(desk, "BUY", "1", "100")
    edit(desk, stop_price=D(95))
    assert (guard().stop_price, guard().stop_loss_pct, guard().own) == (95, 8, True)
    filled(desk, "BUY", "1", "102")
    assert levels(guard()) == (D(101), D(102), D(95), None)
    filled(desk, "BUY", "2", "111")
    assert levels(guard()) == (D(106), D(111), D("97.52"), None)


def test_what_is_refused_changes_nothing(desk: Desk) -> None:
    """EXT-2: a looser stop, half a trailing stop, an unknown rule, a foreign or a flat position, no price."""
    filled(desk, "BUY", "1", "100")
    before = ExitGuard.objects.values().get()
    other = desk_open(name="Another")
    for what, field in (
        ({"stop_price": D(91)}, "stop_price"),
        ({"stop_price": D(100)}, "stop_price"),
        ({"rules": {"trail_from_pct": D(0), "trail_by_pct": D(5)}}, "trail_from_pct"),
        ({"rules": {"trail_from_pct": D(5), "trail_by_pct": D(0)}}, "trail_by_pct"),
        ({"rules": {"size": D(5)}}, "size"),
        ({"rules": {"time_stop_days": D(1)}, "world_at": desk.now + timedelta(days=1)}, "time_stop_days"),
    ):
        with pytest.raises(InputError) as refused:
            edit(desk, **what)
        assert refused.value.field == field
    for stranger, number in ((other, guard().pk), (desk, 10**9)):
        with pytest.raises(NotFound):
            edit(stranger, stop_price=D(95), position_id=number)
    Mark.objects.all().delete()
    with pytest.raises(InputError, match="BTC has no price here"):
        edit(desk, stop_price=D(95))
    assert ExitGuard.objects.values().get() == before
    filled(desk, "SELL", "1", "100", reduce_only=True)
    with pytest.raises(InputError, match="Nothing of BTC is held"):
        edit(desk, stop_price=D(95))


def test_the_defaults_come_back_and_the_ratchet_stays(desk: Desk) -> None:
    """EXT-2: rules of its own end; the tighter stop does not."""
    filled(desk, "BUY", "1", "100")
    edit(desk, stop_price=D(95), rules={"time_stop_days": D(30)})
    edited = edit(desk, use_defaults=True)
    assert edited.notes == ("The stop stays at 95, since a stop only tightens.",)
    row = guard()
    assert (row.own, row.time_stop_days, row.stop_loss_pct, row.stop_price) == (False, 14, 8, 95)
    assert edit(desk, use_defaults=True).changed is False


def test_steps_that_were_taken_stay_taken_where_the_list_begins_with_them(desk: Desk) -> None:
    """EXT-2: sent again with a new step behind, they are not taken twice; another list begins anew."""
    filled(desk, "BUY", "1", "100")
    first = {"gain_pct": "10", "fraction_pct": "50"}
    edit(desk, rules={"take_profit": [first, {"gain_pct": "20", "fraction_pct": "100"}]})
    ExitGuard.objects.update(steps_done=1)
    desk.mark("112")
    edit(desk, rules={"take_profit": [first, {"gain_pct": "30", "fraction_pct": "100"}]})
    assert guard().steps_done == 1
    with pytest.raises(InputError, match="has reached 111 already"):
        edit(desk, rules={"take_profit": [{"gain_pct": "11", "fraction_pct": "100"}]})
    edit(desk, rules={"take_profit": [{"gain_pct": "15", "fraction_pct": "100"}]})
    assert guard().steps_done == 0


def test_a_first_stop_where_there_was_none(desk: Desk) -> None:
    """EXT-2: without a default the first stop a person puts is the one it began with."""
    exit_defaults_set(portfolio=desk.portfolio, rules={"stop_loss_pct": D(0)}, now=desk.now)
    filled(desk, "BUY", "1", "100")
    assert (guard().stop_price, guard().first_stop_price) == (None, None)
    edit(desk, stop_price=D(90))
    assert (guard().stop_price, guard().first_stop_price) == (90, 90)


# ---------------------------------------------------------------- defaults, upgrade
def test_defaults_that_make_no_sense_are_not_kept(desk: Desk) -> None:
    """EXT-2: refused by the field at fault, daring ones told; those not given stay."""
    for rules, field in (
        ({"stop_loss_pct": D(100)}, "stop_loss_pct"),
        ({"trail_from_pct": D(0), "trail_by_pct": D(3)}, "trail_from_pct"),
        ({"take_profit": [{"price": "110", "fraction_pct": "50"}]}, "take_profit"),
    ):
        with pytest.raises(InputError) as refused:
            exit_defaults_set(portfolio=desk.portfolio, rules=rules, now=desk.now)
        assert refused.value.field == field
    assert not ExitDefaults.objects.exists()
    warnings = exit_defaults_set(
        portfolio=desk.portfolio, rules={"stop_loss_pct": D(30)}, stops_at_venue=True, now=desk.now
    )
    assert warnings == ["A stop 30 % away is daring: so much is lost before it closes."]
    exit_defaults_set(portfolio=desk.portfolio, rules={"trail_by_pct": D(4)}, now=desk.later())
    row = ExitDefaults.objects.get()
    assert (row.stop_loss_pct, row.trail_by_pct, row.trail_from_pct, row.time_stop_days) == (30, 4, 12, 14)
    assert (row.stops_at_venue, row.updated_at) == (True, desk.now)


def test_an_upgrade_guards_what_was_open(desk: Desk) -> None:
    """EXT-1: by the server's rules at cost ÷ quantity; what is flat, closed or guarded is left alone."""
    filled(desk, "BUY", "3", "100")
    filled(desk, "BUY", "3", "101")
    long = Position.objects.get()
    filled(desk, "SELL", "2", "40", code="ETH", slices={desk.follows[0].pk: "-2"})
    short = Position.objects.exclude(pk=long.pk).get()
    flat_desk = desk_open(name="Flat")
    flat_desk.fills = desk.fills
    flat_one, flat_two = (follow.pk for follow in flat_desk.follows)
    filled(flat_desk, "BUY", "1", "100", slices={flat_one: "1"})
    filled(flat_desk, "SELL", "1", "100", slices={flat_two: "-1"})
    ExitGuard.objects.all().delete()
    upgrade = import_module("positions.migrations.0007_guard_what_is_open").guard_open_positions
    upgrade(apps, None)
    guards = {row.pk: row for row in ExitGuard.objects.all()}
    assert set(guards) == {long.pk, short.pk}
    assert levels(guards[long.pk]) == (D("100.5"), D("100.5"), D("92.46"), None)
    assert levels(guards[short.pk]) == (D(40), D(40), D("43.2"), None)
    row = guards[long.pk]
    assert (row.sign, row.run, row.world_id, row.opened_world_at) == (1, 1, WORLD, long.opened_world_at)
    assert (row.first_stop_price, row.take_profit, row.steps_done, row.own) == (D("92.46"), [], 0, False)
    assert row.since == row.levels_from == row.changed_at
    upgrade(apps, None)
    assert ExitGuard.objects.count() == 2
