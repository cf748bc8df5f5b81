"""A replay with a portfolio that holds something, and a worker of the queue ``commands``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio
from engine import sending
from engine.commands import command_accept, command_run, commands_due
from engine.models import Command
from execution.models import Order
from markets.recordings import ALPHA_ARENA
from positions.models import ExitGuard, Position
from tests.replaying import ReplayDriver

GROK, DEEPSEEK = "grok-4", "deepseek-chat-v3.1"


@dataclass
class Floor:
    """One portfolio in the recorded arena, and the person who owns it."""

    arena: ReplayDriver
    portfolio: Portfolio
    asked: int = 0

    @property
    def now(self) -> Any:
        return self.arena.wall_at

    def ask(self, kind: str, key: str = "", **data: Any) -> Command:
        self.asked += 1
        return command_accept(
            portfolio=self.portfolio,
            kind=kind,
            data=data,
            key=key or f"wish {self.asked}",
            asked_by=self.portfolio.owner,
            via="page",
            now=self.now,
        )

    def run(self, command: Command) -> str:
        return command_run(command_id=command.pk, now=self.now)

    def carry_out(self, command: Command, *, steps: int = 20) -> Command:
        """Let commands, orders, cycles and the market work until the command has an end."""
        self.run(command)
        for _ in range(steps):
            command.refresh_from_db()
            if command.finished_at:
                break
            self.arena.forward(0.5)
            self.arena.act()
            for command_id in commands_due(now=self.now):
                command_run(command_id=command_id, now=self.now)
        return command

    def live(self, seconds: float) -> None:
        """Let the market and the cycles go on."""
        for _ in range(int(seconds * 2)):
            self.arena.forward(0.5)
            self.arena.act()

    def position(self, underlying: str = "") -> Position:
        held = Position.objects.filter(portfolio=self.portfolio).exclude(status="closed").exclude(quantity=0)
        if underlying:
            held = held.filter(underlying=underlying)
        return held.order_by("-cost", "pk")[0]

    def guard(self) -> ExitGuard:
        """Return what guards the largest open position."""
        return ExitGuard.objects.get(pk=self.position().pk)

    def orders(self, command: Command) -> list[Order]:
        return list(Order.objects.filter(command_id=command.pk).order_by("pk"))

    def held(self, underlying: str) -> Decimal:
        found = Position.objects.filter(portfolio=self.portfolio, underlying=underlying)
        position = found.exclude(status="closed").first()
        return position.quantity if position else Decimal(0)


@pytest.fixture
def arena(db: None) -> ReplayDriver:
    """The Alpha Arena world at its first moment."""
    return ReplayDriver(ALPHA_ARENA).start()


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no messages: the driver finds everything in the database, as a sweep does."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)


@pytest.fixture
def floor(arena: ReplayDriver, alice: Any, nobody_listens: None) -> Floor:
    """Alice follows two models with perpetuals and holds what they hold."""
    portfolio = arena.portfolio(
        alice, name="Two", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    for _ in range(4):
        arena.forward(10)
        arena.observe((GROK, DEEPSEEK))
        arena.settle()
    return Floor(arena, portfolio)
