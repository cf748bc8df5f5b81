"""FOL-3: what an agent posts passes the same pipeline as any trader's positions, from post to fill."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from engine.agents import agent_posted
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from positions.audit import books_audit
from tests.integration.engine.stage import NOW, Stage
from tests.stateful.worlds import MadeUpWorld
from traders.domain.reads import TraderPosition
from traders.models import PushAgent
from traders.push import agent_register
from traders.reading import read_loop_close

pytestmark = pytest.mark.django_db
D = Decimal


class Agent:
    """An agent of equity 10,000 that posts to the real service, at the stage's time."""

    def __init__(self, stage: Stage, agent: PushAgent) -> None:
        self.stage, self.agent = stage, agent

    def post(self, **held: str) -> None:
        """Let a moment pass and post so much of each instrument, entered at its price of now."""
        play = self.stage.play
        play.pass_time(seconds=11)
        self.agent.refresh_from_db()
        agent_posted(
            agent=self.agent,
            sequence=self.agent.sequence + 1,
            at=play.now,
            equity=D(10000),
            positions=[TraderPosition(code, D(q), play.prices[code]) for code, q in held.items()],
            digest="0" * 64,
            now=play.now,
        )
        self.stage.sync()
        self.stage.settle()


@pytest.fixture
def play(db: None) -> Iterator[MadeUpWorld]:
    """A live world with instruments and prices of our own; the sources are the real ones."""
    read_loop_close()
    yield MadeUpWorld(now=NOW)
    read_loop_close()


@pytest.fixture
def agent(play: MadeUpWorld, alice: Any) -> Agent:
    """Alice's portfolio of 10,000 follows her agent alone, which holds nothing yet."""
    made = agent_register(owner=alice, name="Grid bot", interval_s=60, via="page", now=play.now)
    portfolio = portfolio_open(
        owner=alice,
        initial_cash=D(10000),
        now=play.now,
        name="Stage",
        policy="perp",
        risk_profile="aggressive",
    )
    follow_start(portfolio=portfolio, kind="push", key=str(made.agent.public_id), now=play.now)
    portfolio.refresh_from_db()
    posting = Agent(Stage(play, portfolio), made.agent)
    posting.post()
    return posting


def test_what_an_agent_posts_is_copied_and_its_silence_closes_nothing(agent: Agent) -> None:
    """Opened, enlarged, held through silence, not entered meanwhile, and closed when the agent closes."""
    stage = agent.stage
    agent.post(BTC="0.01", ETH="-0.25")
    # Both have 10,000: the same quantities, in whole steps, as far as fees leave the equity.
    assert stage.held("BTC") == D("0.01")
    assert stage.held("ETH") == D("-0.25")
    agent.post(BTC="0.02", ETH="-0.25")
    assert abs(stage.held("BTC") - D("0.02")) < D("0.0001")
    before = stage.held("BTC"), stage.held("ETH"), stage.orders
    for _ in range(3):
        stage.play.pass_time(seconds=70)
        stage.sync()
        stage.settle()
    trader = stage.follows[0].trader
    assert trader.status in {"degraded", "stale"}
    assert "posted nothing for" in trader.last_error
    assert (stage.held("BTC"), stage.held("ETH"), stage.orders) == before
    agent.post(ETH="-0.25")
    assert stage.held("BTC") == 0
    assert stage.held("ETH") == before[1]
    agent.post()
    assert stage.held("ETH") == 0
    assert books_audit() == []
