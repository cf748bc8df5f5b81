"""Handing work to the workers by name, from modules that stand below the tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
MESSAGE_LIFETIME_S: Final = 30
ORDERS_AT_ONCE: Final = 25
CYCLES_BY_NAME: Final = 8
PULLERS: Final = 4  # workers that take cycles from the database side by side
PULL_LIFETIME_S: Final = 2


def submit_later(order_id: int) -> None:
    """Ask for an order to be sent; a lost message costs a second, since ``orders.work`` finds it too."""
    _send("orders.submit", order_id)


def live_submit_later(order_id: int) -> None:
    """Hand an order that leaves this server to the workers that do nothing else, so that no other waits."""
    _send("live.submit", order_id)


def accounts_later(portfolio_ids: Sequence[int]) -> None:
    """Ask for turns of accounts at venues; a lost message costs a second, since beat asks again."""
    for portfolio_id in portfolio_ids:
        _send("live.turn", portfolio_id)


def cycles_later(portfolio_ids: Sequence[int]) -> None:
    """Ask for copy cycles; a lost message costs some seconds, since ``plan.due`` finds them too.

    A few are asked for by name. Where many wait, whose turn it is stands in the database alone: some workers
    are told to look there, so that ten thousand are woken as quickly as ten.
    """
    if len(portfolio_ids) > CYCLES_BY_NAME:
        cycles_pull()
        return
    for portfolio_id in portfolio_ids:
        _send("plan.cycle", portfolio_id)


def cycles_pull() -> None:
    """Tell some workers to take waiting cycles from the database; ``plan.due`` does so again each second."""
    for _ in range(PULLERS):
        _send("plan.many", lifetime_s=PULL_LIFETIME_S)


def sync_later() -> None:
    """Ask for the due traders to be read now; a lost message costs a second, since beat asks too."""
    _send("sync.shards")


def command_later(command_id: UUID) -> None:
    """Ask for a command to be run; a lost message costs a second, since ``commands.sweep`` finds it too."""
    _send("commands.run", str(command_id))


def exits_submit_later(order_ids: Sequence[int]) -> None:
    """Ask for exit orders to be sent; a lost message costs a second, since ``orders.work`` finds them too."""
    for begin in range(0, len(order_ids), ORDERS_AT_ONCE):
        _send("exits.submit", list(order_ids[begin : begin + ORDERS_AT_ONCE]))


def exits_place_later(trigger_ids: Sequence[int]) -> None:
    """Ask for the orders of triggers; a lost message costs a second, since ``exits.work`` finds them too."""
    if trigger_ids:
        _send("exits.place", list(trigger_ids))


def recover_later(*, begun_at: datetime) -> None:
    """Ask for every portfolio to be settled with its venue that was not since ``begun_at``.

    A lost message costs half a minute for those with something open.
    """
    _send("upkeep.recover", int(begun_at.timestamp()))


def _send(task: str, *arguments: int | str | list[int], lifetime_s: int = MESSAGE_LIFETIME_S) -> None:
    try:
        current_app.send_task(task, arguments, expires=lifetime_s)
    except OperationalError as error:
        logger.warning("%s%s not sent, Redis is away (%s); the sweep will find it", task, arguments, error)
