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
STATED_RATE = 0.01  # false alarms a day of a steady trader with 30 days of history, all measures together


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


def recorded_hours() -> dict[str, list[StyleHour]]:
    """Every recorded trader's hours, read every ten minutes."""
    found: dict[str, list[StyleHour]] = {}
    for trader in recorded_traders():
        recording = recording_get(name=trader.world)
        before, hours, at = None, [], recording.start_at
        while at + timedelta(hours=1) <= recording.end_at:
            moments = [at + timedelta(minutes=10 * step) for step in range(6)]
            states = [(moment, trader.state_at(moment)) for moment in moments]
            reads = [
                reading_of(at=at, equity=state.equity, positions=state.positions) for at, state in states
            ]
            readings = [read for read in reads if read is not None]
            hours.append(hour_measure(readings=readings, before=before))
            before = readings[-1] if readings else before
            at += timedelta(hours=1)
        found[trader.key] = hours
    return found


def days_of(hours: list[StyleHour]) -> list[StyleDay]:
    """Cut hours into spans of 24, counted back from the last; the newest first."""
    spans = [day_of(hours=hours[end - 24 : end]) for end in range(len(hours), 23, -24)]
    return [span for span in spans if span is not None]


def test_recorded_traders_judged_hour_by_hour_raise_one_alarm() -> None:
    """Ten trader-days with a week of history behind them: Qwen left BTC for ETH, and that is all."""
    judged, raised = 0, []
    for key, hours in recorded_hours().items():
        standing: set[Measure] = set()
        for end in range(24 * (LEAST_DAYS + 1), len(hours) + 1):
            today, *history = days_of(hours[:end]) or [None]
            if today is None or len(history) < LEAST_DAYS:
                continue
            judged += 1
            drifts = {drift.measure: drift for drift in drifts_find(today=today, history=history)}
            new = {measure for measure, drift in drifts.items() if drift.alarm} - standing
            raised += [(key, drift_text(drift=drifts[measure])) for measure in new]
            standing = (standing | new) - {m for m in standing if m in drifts and drifts[m].calm}
    assert judged >= 200
    assert [key for key, _ in raised] == ["qwen3-max"]
    assert raised[0][1].startswith("Instruments: ETH ")


def test_each_recorded_day_against_the_others_stays_within_the_stated_rate() -> None:
    """Real traders swing: with nine other days known, fewer than one day in ten is taken for a change."""
    trials = cried = 0
    for hours in recorded_hours().values():
        days = days_of(hours)
        for place, day in enumerate(days):
            others = [*days[:place], *days[place + 1 :]]
            if len(others) >= LEAST_DAYS:
                trials += 1
                cried += bool(alarms(day, others))
    assert trials >= 40
    assert cried / trials < 0.1


def test_a_trader_that_stays_as_it_is_cries_less_than_one_day_in_a_hundred() -> None:
    """Days drawn alike: leverage within a factor of 1.6, turnover and holding of 2.7, two days in three."""
    rng = random.Random(5)

    def drawn() -> StyleDay:
        parts = [rng.gammavariate(4, 1) for _ in range(4)]
        return StyleDay(
            leverage=2 * rng.lognormvariate(0, 0.5),
            turnover=3 * rng.lognormvariate(0, 1),
            holding=5 * rng.lognormvariate(0, 1),
            split={code: part / sum(parts) for code, part in zip("ABCD", parts, strict=True)},
        )

    trials = 1500
    cried = sum(bool(alarms(drawn(), [drawn() for _ in range(HISTORY_DAYS)])) for _ in range(trials))
    assert cried / trials <= STATED_RATE
