"""Whether a trader still trades as it used to (BEY-7)."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.recordings import recording_get
from traders.domain.style import (
    HISTORY_DAYS,
    LEAST_DAYS,
    Drift,
    Held,
    Measure,
    Reading,
    StyleDay,
    StyleHour,
    day_of,
    drift_text,
    drifts_find,
    hour_measure,
    split_distance,
)
from traders.recordings import recorded_traders
from traders.style_reading import reading_of

START = datetime(2026, 1, 1, tzinfo=UTC)
USUAL = StyleDay(leverage=1.2, turnover=2.0, holding=6.0, split={"BTC": 0.6, "ETH": 0.4})
STATED_RATE = 0.01  # false alarms a trader and day, all measures together


def wobbly(rng: random.Random) -> StyleDay:
    """A day like the usual one, give or take a third."""
    btc = rng.uniform(0.5, 0.7)
    return StyleDay(
        leverage=1.2 * rng.uniform(0.75, 1.33),
        turnover=2.0 * rng.uniform(0.75, 1.33),
        holding=6.0 * rng.uniform(0.75, 1.33),
        split={"BTC": btc, "ETH": 1 - btc},
    )


@pytest.fixture
def history() -> list[StyleDay]:
    rng = random.Random(7)
    return [wobbly(rng) for _ in range(HISTORY_DAYS)]


def alarms(today: StyleDay, history: list[StyleDay]) -> dict[Measure, Drift]:
    return {drift.measure: drift for drift in drifts_find(today=today, history=history) if drift.alarm}


def test_a_usual_day_is_no_alarm(history: list[StyleDay]) -> None:
    """All four are judged, none has left its history."""
    assert {drift.measure for drift in drifts_find(today=USUAL, history=history)} == set(Measure)
    assert alarms(USUAL, history) == {}


@pytest.mark.parametrize(
    ("today", "measure", "text"),
    [
        (StyleDay(6.0, 2.0, 6.0, USUAL.split), Measure.LEVERAGE, "to 6.0x"),
        (StyleDay(1.2, 15.0, 6.0, USUAL.split), Measure.TURNOVER, "to 15.0 times its equity a day"),
        (StyleDay(1.2, 2.0, 0.2, USUAL.split), Measure.HOLDING, "to 12 min"),
        (StyleDay(1.2, 2.0, 6.0, {"DOGE": 1.0}), Measure.INSTRUMENTS, "DOGE 0 % to 100 %"),
    ],
)
def test_each_measure_alone_raises_its_alarm(
    today: StyleDay, measure: Measure, text: str, history: list[StyleDay]
) -> None:
    """What changed is named, from what to what."""
    found = alarms(today, history)
    assert set(found) == {measure}
    assert text in drift_text(drift=found[measure])
    assert not found[measure].calm


def test_less_turnover_is_no_alarm_and_less_leverage_is(history: list[StyleDay]) -> None:
    """A quiet day harms nobody; a tenth of the leverage is another trader."""
    assert alarms(StyleDay(1.2, 0.0, 6.0, USUAL.split), history) == {}
    assert set(alarms(StyleDay(0.1, 2.0, 6.0, USUAL.split), history)) == {Measure.LEVERAGE}


def test_a_trader_too_new_is_not_judged(history: list[StyleDay]) -> None:
    """Six days are no history, seven are."""
    odd = StyleDay(20.0, 90.0, 0.01, {"DOGE": 1.0})
    assert drifts_find(today=odd, history=history[: LEAST_DAYS - 1]) == ()
    assert len(alarms(odd, history[:LEAST_DAYS])) == 4


def test_a_day_without_positions_says_nothing_of_leverage(history: list[StyleDay]) -> None:
    """Flat is no style."""
    flat = StyleDay(leverage=None, turnover=0.0, holding=None, split=None)
    assert {drift.measure for drift in drifts_find(today=flat, history=history)} == {Measure.TURNOVER}
    assert alarms(flat, history) == {}


def test_an_hour_is_summed_from_its_reads() -> None:
    """1 BTC at 100 held at 2 x and closed: leverage 2 in one read, 4 times equity traded, open for 3 h."""
    opened_at = START - timedelta(hours=2)
    held = {"BTC": Held(1.0, 100.0, opened_at)}
    hour = hour_measure(
        readings=[Reading(START, 50.0, held), Reading(START + timedelta(hours=1), 50.0, {})],
        before=Reading(START - timedelta(hours=1), 50.0, {}),
    )
    assert hour == StyleHour(
        reads=2, held_reads=1, leverage_sum=2.0, turnover=4.0, closed_h=(3.0,), splits={"BTC": 1.0}
    )


def test_a_span_hardly_read_does_not_count() -> None:
    """Eleven of 24 hours are too few."""
    hour = StyleHour(reads=1, held_reads=1, leverage_sum=1.0, splits={"BTC": 1.0})
    assert day_of(hours=[hour] * 11) is None
    day = day_of(hours=[hour] * 12)
    assert day == StyleDay(leverage=1.0, turnover=0.0, holding=None, split={"BTC": 1.0})


splits = st.dictionaries(st.sampled_from(["BTC", "ETH", "SOL"]), st.floats(0.01, 1), min_size=1).map(
    lambda parts: {u: share / sum(parts.values()) for u, share in parts.items()}
)


@given(splits, splits)
def test_the_distance_of_splits_is_a_distance(one: dict[str, float], other: dict[str, float]) -> None:
    """Between 0 and 1, the same both ways, 0 to itself."""
    assert 0 <= split_distance(one, other) <= 1
    assert split_distance(one, other) == pytest.approx(split_distance(other, one))
    assert split_distance(one, one) == pytest.approx(0, abs=1e-7)
    assert split_distance({"A": 1.0}, {"B": 1.0}) == 1


def recorded_days() -> dict[str, list[StyleDay]]:
    """Every recorded trader's days, read every ten minutes."""
    found: dict[str, list[StyleDay]] = {}
    for trader in recorded_traders():
        recording = recording_get(name=trader.world)
        before, hours = None, []
        at = recording.start_at
        while at + timedelta(hours=1) <= recording.end_at:
            moments = [at + timedelta(minutes=10 * step) for step in range(6)]
            states = [(moment, trader.state_at(moment)) for moment in moments]
            readings = [
                read
                for moment, state in states
                if (read := reading_of(at=moment, equity=state.equity, positions=state.positions))
            ]
            hours.append(hour_measure(readings=readings, before=before))
            before = readings[-1] if readings else before
            at += timedelta(hours=1)
        days = [day_of(hours=hours[begin : begin + 24]) for begin in range(0, len(hours) - 23, 24)]
        found[trader.key] = [day for day in days if day is not None]
    return found


def test_the_stated_rate_of_false_alarms_holds_for_recorded_traders() -> None:
    """Days of one trader in any order are a trader whose style stays: at most 1 alarm in 100 such days."""
    rng = random.Random(11)
    trials = raised = 0
    for days in recorded_days().values():
        if len(days) < LEAST_DAYS:
            continue
        for _ in range(200):
            drawn = [rng.choice(days) for _ in range(HISTORY_DAYS + 1)]
            trials += 1
            raised += bool(alarms(drawn[-1], drawn[:-1]))
    assert trials >= 600
    assert raised / trials <= STATED_RATE
