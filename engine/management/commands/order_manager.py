"""`manage.py order_manager list|cancel|exit`: look at orders, call one back, close a position."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import plain
from engine.management.terminal import TerminalCommand, acting_arguments
from engine.models import Command as Wish
from execution.models import Order
from positions.models import Position

OVERDUE: Final = timedelta(seconds=60)
LIST_LENGTH: Final = 100


class Command(TerminalCommand):
    """Cancelling and closing are commands like those of the page, with the same checks and audit entries."""

    help = "List orders, cancel one, or close a position."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be done."""
        doing = parser.add_subparsers(dest="do", required=True, metavar="list|cancel|exit")
        listing = doing.add_parser("list", help="orders that still work; exit 1 if one is unknown or overdue")
        listing.add_argument("--all", action="store_true", help=f"ended ones too, the newest {LIST_LENGTH}")
        super().add_arguments(listing)
        cancel = doing.add_parser("cancel", help="call an order back")
        cancel.add_argument("order", type=int, help="the order's number")
        leave = doing.add_parser("exit", help="close a position or a part of it")
        leave.add_argument("position", type=int, help="the position's number")
        leave.add_argument("--percent", default="100", help="how much of it (default: 100)")
        leave.add_argument("--market", action="store_true", help="take what is offered")
        for acting in (cancel, leave):
            super().add_arguments(acting)
            acting_arguments(acting)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        if options["do"] == "list":
            self._list(options)
        elif options["do"] == "cancel":
            portfolio = self._owner_of(Order, options["order"], options)
            data = {"order_id": options["order"]}
            self.carry_out(portfolio=portfolio, kind=Wish.Kind.CANCEL.value, data=data, options=options)
        else:
            portfolio = self._owner_of(Position, options["position"], options)
            data = {
                "position_id": options["position"],
                "percent": options["percent"],
                "market": options["market"],
            }
            self.carry_out(portfolio=portfolio, kind=Wish.Kind.CLOSE.value, data=data, options=options)

    def _owner_of(self, model: type[Order | Position], number: int, options: dict[str, Any]) -> Portfolio:
        """Return the portfolio that an order or a position belongs to."""
        rows = model.objects.filter(pk=number, portfolio__in=self.portfolios(options))
        row = rows.select_related("portfolio").first()
        if row is None:
            raise CommandError(f"There is no {model._meta.verbose_name} {number}.", returncode=2)
        return row.portfolio

    def _list(self, options: dict[str, Any]) -> None:
        findings: list[str] = []
        documents = []
        for portfolio in self.portfolios(options):
            orders = Order.objects.filter(portfolio=portfolio).order_by("-pk")
            if not options["all"]:
                orders = orders.filter(status__in=Order.OPEN_STATUSES)
            rows = list(orders[:LIST_LENGTH])
            found = [text for order in rows if (text := _finding(order))]
            findings += found
            documents.append(
                {"portfolio": portfolio.pk, "orders": [_document(o) for o in rows], "findings": found}
            )
            if not options["json"]:
                self.title(portfolio)
                self.table(
                    ("number", "created", "side", ">quantity", "instrument", ">limit", ">filled", "purpose",
                     "origin", "status", "reason"),
                    [_row(order) for order in rows],
                    empty="No order." if options["all"] else "No order is working.",
                )  # fmt: skip
        if options["json"]:
            self.document(documents)
        self.findings_raise(findings)


def _finding(order: Order) -> str:
    """Say what is wrong with an order that still works; empty when nothing is."""
    if order.status not in Order.OPEN_STATUSES:
        return ""
    if order.status == Order.Status.UNKNOWN:
        return f"nobody knows what became of order {order.pk}"
    if order.expires_at < utc_now() - OVERDUE:
        return f"order {order.pk} should have ended at {order.expires_at:%H:%M:%S}"
    return ""


def _document(order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "client_order_id": order.client_order_id,
        "code": order.instrument_id,
        "side": order.side,
        "quantity": plain(order.quantity),
        "limit_price": plain(order.limit_price),
        "filled_quantity": plain(order.filled_quantity),
        "market": order.market,
        "purpose": order.purpose,
        "origin": order.origin,
        "status": order.status,
        "status_reason": order.status_reason,
        "created_at": order.created_at.isoformat(),
        "expires_at": order.expires_at.isoformat(),
    }


def _row(order: Order) -> tuple[object, ...]:
    return (
        order.pk,
        f"{order.created_at:%Y-%m-%d %H:%M:%S}",
        order.side,
        plain(order.quantity),
        order.instrument_id,
        "market" if order.market else plain(order.limit_price),
        plain(order.filled_quantity),
        order.purpose,
        order.origin,
        order.status,
        (order.status_reason or order.reason)[:60],
    )
