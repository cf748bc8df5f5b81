"""What the server answers, as typed values. Money and quantities are Decimal, times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID


class Priority(StrEnum):
    """Who is served first; within one priority, who came first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Status(StrEnum):
    """granted → used, released or expired; waiting → granted or denied."""

    WAITING = "waiting"
    GRANTED = "granted"
    USED = "used"
    RELEASED = "released"
    EXPIRED = "expired"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request for capital as it stood when the server answered.

    :param amount: in the portfolio's quote currency
    :param expires_at: when an unused grant returns by itself
    :param order_id: the order that uses it
    """

    id: UUID
    status: Status
    reason: str
    instrument: str
    amount: Decimal
    priority: Priority
    source: str
    requested_at: datetime
    wait_until: datetime | None
    granted_at: datetime | None
    expires_at: datetime | None
    settled_at: datetime | None
    order_id: int | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer of the server."""
        return cls(
            id=UUID(answer["id"]),
            status=Status(answer["status"]),
            reason=answer["reason"],
            instrument=answer["instrument"],
            amount=Decimal(answer["amount"]),
            priority=Priority(answer["priority"]),
            source=answer["source"],
            requested_at=datetime.fromisoformat(answer["requested_at"]),
            wait_until=_moment(answer["wait_until"]),
            granted_at=_moment(answer["granted_at"]),
            expires_at=_moment(answer["expires_at"]),
            settled_at=_moment(answer["settled_at"]),
            order_id=answer["order_id"],
        )


@dataclass(frozen=True, slots=True)
class Capital:
    """A portfolio: total = free + reserved + committed + deployed, allocated = total − free."""

    total: Decimal
    allocated: Decimal
    cash: Decimal
    free: Decimal
    reserved: Decimal
    committed: Decimal
    deployed: Decimal
    deficit: Decimal
    granted_count: int
    granted_amount: Decimal
    waiting_count: int
    waiting_amount: Decimal

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer of the server."""
        money = ("total", "allocated", "cash", "free", "reserved", "committed", "deployed", "deficit")
        return cls(
            **{name: Decimal(answer[name]) for name in money},
            granted_count=answer["granted"]["count"],
            granted_amount=Decimal(answer["granted"]["amount"]),
            waiting_count=answer["waiting"]["count"],
            waiting_amount=Decimal(answer["waiting"]["amount"]),
        )


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stood when the server answered."""

    id: int
    client_order_id: str
    instrument: str
    side: str
    quantity: Decimal
    limit_price: Decimal
    filled_quantity: Decimal
    status: str
    expires_at: datetime

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer of the server."""
        return cls(
            id=answer["id"],
            client_order_id=answer["client_order_id"],
            instrument=answer["code"],
            side=answer["side"],
            quantity=Decimal(answer["quantity"]),
            limit_price=Decimal(answer["limit_price"]),
            filled_quantity=Decimal(answer["filled_quantity"]),
            status=answer["status"],
            expires_at=datetime.fromisoformat(answer["expires_at"]),
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
