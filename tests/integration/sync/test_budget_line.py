"""The line in front of a budget, in a time that the test moves: who goes when, whatever is asked (SYN-3).

The script is the real one in a real Redis; only its clock is replaced.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from markets.budget import SHOWN_EVERY_S, BudgetExhausted, _Bucket
from markets.budget_script import SCRIPT
from markets.domain.allowance import RESERVED, Allowance, BudgetPriority

EXIT, ORDER, SYNC, PREVIEW = BudgetPriority
START_S = 1_800_000_000.0
ALLOWED = Allowance.window(weight=600)  # burst 50, then 9.17 a second


@dataclass(order=True)
class Asked:
    """One request: when it comes, and what became of it."""

    at_s: float
    weight: int
    priority: BudgetPriority = field(compare=False)
    asker: str = field(default="", compare=False)
    longest_s: float = field(default=1e6, compare=False)
    gone_s: float | None = field(default=None, compare=False)
    refused: bool = field(default=False, compare=False)
    ticket: str = field(default="", compare=False)


class Venue:
    """A bucket in a time of its own."""

    def __init__(self, client: redis.Redis, allowed: Allowance = ALLOWED) -> None:
        client.flushdb()
        self.client = client
        self.bucket = _Bucket(venue="tested", allowance=allowed, account="")
        moved = SCRIPT.replace("redis.call('TIME')", "{redis.call('GET', 'test:now'), 0}")
        assert moved != SCRIPT
        self.script = client.register_script(moved)

    def run(self, at_s: float, arguments: Sequence[str]) -> Any:
        """Run the script at a moment."""
        self.client.set("test:now", f"{START_S + at_s:.6f}")
        return self.script(keys=self.bucket._keys, args=arguments)

    def tokens(self) -> float:
        """Return what the bucket held after the last call."""
        return float(self.client.hget(self.bucket._key, "tokens") or 0)  # type: ignore[arg-type]

    def play(self, requests: Sequence[Asked], *, dies: frozenset[int] = frozenset()) -> list[Asked]:
        """Let requests come, wait and go; those in `dies` are never heard of again once they wait."""
        turns = [(asked.at_s, index) for index, asked in enumerate(requests)]
        heapq.heapify(turns)
        order: list[Asked] = []
        while turns:
            now_s, index = heapq.heappop(turns)
            asked = requests[index]
            left_s = asked.longest_s - (now_s - asked.at_s)
            arguments = self.bucket._take_arguments(
                asked.weight, left_s, asked.priority, asked.asker, asked.ticket
            )
            answer = self.run(now_s, arguments)
            asked.refused = answer[0] < 0
            if asked.refused:
                with pytest.raises(BudgetExhausted) as told:
                    self.bucket._answer(answer)
                assert (told.value.retry_after_s or 0) > left_s
                continue
            taken, wait_s, asked.ticket = self.bucket._answer(answer)
            if not taken:
                assert 0 < wait_s <= SHOWN_EVERY_S
                if index not in dies:
                    heapq.heappush(turns, (now_s + wait_s, index))
                continue
            asked.gone_s = now_s + wait_s
            order.append(asked)
            self.kept_for_those_above(asked, requests, now_s)
        return order

    def kept_for_those_above(self, gone: Asked, requests: Sequence[Asked], now_s: float) -> None:
        """Whoever goes leaves what those of higher priority wait for, unless only a full bucket could do."""
        if gone.weight + RESERVED[gone.priority] * self.bucket.burst > self.bucket.burst:
            return
        above = (
            other.weight
            for other in requests
            if other.ticket and other.gone_s is None and not other.refused and other.priority < gone.priority
        )
        assert self.tokens() >= sum(above) - 0.001


@pytest.fixture
def venue(redis_client: redis.Redis) -> Venue:
    """A bucket that nobody has used."""
    return Venue(redis_client)


def asked(at_s: float, weight: int, priority: BudgetPriority = SYNC, asker: str = "") -> Asked:
    """Return one request."""
    return Asked(at_s, weight, priority, asker)


REQUESTS = st.lists(
    st.builds(
        Asked,
        at_s=st.floats(0, 120),
        weight=st.integers(1, 30),
        priority=st.sampled_from(BudgetPriority),
        asker=st.sampled_from(["", "1", "2", "3"]),
        longest_s=st.sampled_from([0.0, 0.5, 8.0, 1e6]),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_no_minute_sees_more_than_allowed_whatever_is_asked(
    requests: list[Asked], redis_client: redis.Redis
) -> None:
    """SYN-3: in any 60 seconds at most 600; whoever waits goes or is told; nobody who can wait is left."""
    venue = Venue(redis_client)
    venue.play(requests)
    gone = sorted((row.gone_s, row.weight) for row in requests if row.gone_s is not None)
    for begin_s, _ in gone:
        assert sum(weight for at_s, weight in gone if begin_s <= at_s < begin_s + 60) <= 600.001
    assert all((row.gone_s is None) == row.refused for row in requests)
    assert not any(row.refused for row in requests if row.longest_s == 1e6)
    assert redis_client.hlen(venue.bucket._keys[1]) == 0


def test_a_waiting_exit_goes_before_everything_that_waited_longer(venue: Venue) -> None:
    """Exits > orders > sync > previews, whoever came first."""
    requests = [
        asked(0, 50, EXIT),
        asked(0.1, 10, PREVIEW),
        asked(0.2, 10, SYNC),
        asked(0.3, 10, ORDER),
        asked(0.4, 10, EXIT),
    ]
    order = venue.play(requests)
    assert [row.priority for row in order] == [EXIT, EXIT, ORDER, SYNC, PREVIEW]
    exit_s = order[1].gone_s
    assert exit_s == pytest.approx(10 / ALLOWED.rate, abs=0.001)  # as if nobody else had waited


def test_nobody_who_asks_much_starves_one_who_asks_little(venue: Venue) -> None:
    """A user with forty requests in line holds up another's single one by two of his at most."""
    flood = [asked(0, 5, SYNC, "1") for _ in range(40)]
    single = asked(3, 5, SYNC, "2")
    order = venue.play([*flood, single])
    before = sum(1 for row in order if row.asker == "1" and 3 < (row.gone_s or 0) < (single.gone_s or 0))
    assert before <= 2
    assert len(order) == 41


def test_two_who_ask_without_end_share_evenly(venue: Venue) -> None:
    """Of two who both have a hundred weights in line, each gets every other turn."""
    requests = [asked(0, 5, SYNC, str(1 + index % 2)) for index in range(40)]
    requests.sort(key=lambda row: row.asker)  # the first one's came first
    order = venue.play(requests)
    assert [row.asker for row in order[:8]] == ["1"] * 8  # the burst, before the second one came
    turns = [row.asker for row in order[8:32]]
    assert (turns.count("1"), turns.count("2")) == (12, 12)
    assert all({*turns[index : index + 3]} == {"1", "2"} for index in range(22))  # never three in a row


def test_a_process_that_died_in_line_holds_up_the_others_for_seconds(venue: Venue) -> None:
    """A ticket that is not shown again counts no longer than its wait and three seconds."""
    requests = [asked(0, 50, EXIT), asked(0.1, 40, EXIT), asked(0.2, 10, SYNC)]
    order = venue.play(requests, dies=frozenset({1}))
    assert [row.weight for row in order] == [50, 10]
    assert order[1].gone_s is not None
    assert 2 < order[1].gone_s < 8


def test_a_weight_above_the_bucket_is_paid_off_before_it_is_sent(venue: Venue) -> None:
    """A request of 80 where 50 may burst goes when 80 have been earned; the next one waits for its own."""
    order = venue.play([asked(0, 80, PREVIEW), asked(0.5, 10, EXIT)])
    assert order[0].gone_s == pytest.approx(30 / ALLOWED.rate)
    assert order[1].gone_s == pytest.approx(40 / ALLOWED.rate, abs=0.001)


def test_what_the_venue_counted_lowers_the_bucket_and_never_raises_it(venue: Venue) -> None:
    """Used headers: others behind our address have asked too; by the full minute all is ours again."""
    begin_s = 60 - START_S % 60  # the venue's windows begin at full minutes

    def used(at_s: float, count: float) -> bool:
        return bool(venue.run(at_s, venue.bucket._used_arguments(count, 600, None))[0])

    assert not used(begin_s, 0)
    assert used(begin_s + 6, 100)
    assert venue.tokens() == pytest.approx(500 - ALLOWED.rate * 54)  # 5: so much fits beside the refill
    assert not used(begin_s + 6, 90)
    assert not used(begin_s + 12, 105)  # 50 + 55, what our own asking may come to by then
    assert used(begin_s + 30, 600)  # nothing left in this minute
    (last,) = venue.play([asked(begin_s + 30, 1, EXIT)])
    assert last.gone_s == pytest.approx(begin_s + 60 + 1 / ALLOWED.rate, abs=0.001)


def test_a_counter_that_falls_is_a_bucket_as_well(redis_client: redis.Redis) -> None:
    """Kraken's starter counter: 15 at once, then one every three seconds."""
    venue = Venue(redis_client, Allowance.counter(most=15, falls_by_s=1 / 3))
    order = venue.play([asked(0, 1, EXIT) for _ in range(17)])
    assert [row.gone_s for row in order] == [0] * 15 + [pytest.approx(3), pytest.approx(6)]


def test_what_is_asked_of_redis_is_bounded(venue: Venue) -> None:
    """The keys of a budget go by themselves ten minutes after the last request."""
    venue.play([asked(0, 50, EXIT), asked(0, 10, SYNC, "1")])
    kept = venue.client.keys(f"budget:{django_settings.EGRESS_NAME}:*")
    assert kept
    assert all(0 < venue.client.pttl(key) <= 600_000 for key in kept)  # type: ignore[operator, union-attr]
