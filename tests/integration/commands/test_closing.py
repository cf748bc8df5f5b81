"""EXT-1, EXE-8, VIEW-3: the owner closes a part of a position, or all of it, and it stays closed."""

from __future__ import annotations

from tests.integration.commands.conftest import Floor


def test_half_then_all_and_neither_is_bought_back(floor: Floor) -> None:
    """EXE-8: the slices shrink pro rata; the traders go on holding, and nothing is bought again."""
    position = floor.position()
    name, before = position.underlying, position.quantity
    slices = {part.follow_id: part.quantity for part in position.slices.all()}
    half = floor.carry_out(floor.ask("close", position_id=position.pk, percent="50"))
    [order] = floor.orders(half)
    assert half.status == "done"
    assert (order.status, order.origin, order.purpose, order.reduce_only, order.market) == (
        "filled",
        "person",
        "reduce",
        True,
        False,
    )
    step = position.instrument.quantity_step
    assert order.quantity == before / 2 // step * step
    position.refresh_from_db()
    assert position.quantity == before - order.quantity
    for part in position.slices.all():
        assert abs(part.quantity - slices[part.follow_id] / 2) <= step
    floor.arena.observe(("grok-4", "deepseek-chat-v3.1"))
    floor.live(4)
    assert floor.held(name) == position.quantity

    rest = floor.carry_out(floor.ask("close", position_id=position.pk, percent="100"))
    assert rest.status == "done"
    position.refresh_from_db()
    assert (position.status, position.quantity) == ("closed", 0)
    floor.live(4)
    assert floor.held(name) == 0
    assert floor.arena.audit() == []
