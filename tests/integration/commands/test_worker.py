"""VIEW-3: the queue `commands` has a worker of its own, which a dead one's successor takes over from."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry, Portfolio, User
from core.clock import utc_now
from engine.commands import command_accept
from engine.models import Command
from tests.api.making import portfolio_make
from tests.running import TestProcesses, wait_until

pytestmark = pytest.mark.slow


def ask(portfolio: Portfolio, key: str, trading_mode: str) -> Command:
    return command_accept(
        portfolio=portfolio,
        kind="mode",
        data={"trading_mode": trading_mode},
        key=key,
        asked_by=portfolio.owner,
        via="page",
        now=utc_now(),
    )


def done(command: Command) -> bool:
    return Command.objects.get(pk=command.pk).status == "done"


def test_a_worker_of_its_own_carries_it_out(processes: TestProcesses) -> None:
    """VIEW-3: accepted while nobody works; carried out by the worker of this queue, killed and begun anew."""
    alice = User.objects.create_user(email="alice@example.com", password="x")
    portfolio = portfolio_make(owner=alice)
    waiting = ask(portfolio, "before any worker", "single")
    worker = processes.worker(name="commands", queues=("commands",))
    wait_until(lambda: done(waiting), what="the command that waited")
    worker.kill()
    unheard = ask(portfolio, "while it is dead", "hybrid")
    processes.worker(name="commands-again", queues=("commands",))
    wait_until(lambda: done(unheard), what="the command of the dead time")
    portfolio.refresh_from_db()
    assert portfolio.trading_mode == "hybrid"
    outcomes = list(AuditEntry.objects.order_by("id").values_list("outcome", flat=True))
    assert outcomes == ["accepted", "done", "accepted", "done"]
