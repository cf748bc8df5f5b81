"""`manage.py trade_history`: every fill, newest first, with what it realized."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet, Sum
from django.utils.dateparse import parse_date

from accounts.models import Portfolio
from core.decimals import ZERO, dollars, plain
from engine.management.terminal import TerminalCommand
from execution.models import Fill


class Command(TerminalCommand):
    """Print fills and their sums."""

    help = "Show what was bought and sold, at which price, fee and result."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the filters."""
        super().add_arguments(parser)
        parser.add_argument(
            "--limit", type=int, default=50, help="at most so many per portfolio (default: 50)"
        )
        parser.add_argument("--since", default="", help="from this day on, UTC: 2026-01-31")
        parser.add_argument("--instrument", default="", help="of this underlying alone: BTC")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the fills."""
        documents = []
        for portfolio in self.portfolios(options):
            fills = list(_fills(portfolio, options)[: max(0, options["limit"])])
            rows = [_document(fill) for fill in fills]
            realized = sum((Decimal(row["realized"]) for row in rows), ZERO)
            fees = sum((Decimal(row["fee"]) for row in rows), ZERO)
            documents.append(
                {"portfolio": portfolio.pk, "fills": rows, "realized": plain(realized), "fees": plain(fees)}
            )
            if options["json"]:
                continue
            self.title(portfolio)
            self.table(
                ("time", "side", ">quantity", "instrument", ">price", ">value $", ">fee $", ">realized $",
                 "purpose", "origin", "order"),
                [_row(row) for row in rows],
                empty="Nothing was traded.",
            )  # fmt: skip
            if rows:
                sums = f"realized {dollars(realized)} − fees {dollars(fees)} = {dollars(realized - fees)}"
                self.stdout.write(f"  {len(rows)} fills: {sums}")
        if options["json"]:
            self.document(documents)


def _fills(portfolio: Portfolio, options: dict[str, Any]) -> QuerySet[Fill]:
    fills = Fill.objects.filter(order__portfolio=portfolio).select_related("order").order_by("-pk")
    if options["instrument"]:
        fills = fills.filter(order__underlying=options["instrument"])
    if options["since"]:
        try:
            since = parse_date(options["since"])
        except ValueError:
            since = None
        if since is None:
            raise CommandError(f"--since takes a day like 2026-01-31, got {options['since']}.", returncode=2)
        fills = fills.filter(received_at__date__gte=since)
    return fills.annotate(realized=Sum("slice_entries__realized_pnl"))


def _document(fill: Any) -> dict[str, Any]:
    return {
        "id": fill.pk,
        "order_id": fill.order_id,
        "at": fill.received_at.isoformat(),
        "world_at": fill.world_at.isoformat(),
        "side": fill.order.side,
        "quantity": plain(fill.quantity),
        "code": fill.order.instrument_id,
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "realized": plain(fill.realized or ZERO),
        "purpose": fill.order.purpose,
        "origin": fill.order.origin,
    }


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    value = Decimal(row["quantity"]) * Decimal(row["price"])
    return (
        row["at"][:19].replace("T", " "),
        row["side"],
        row["quantity"],
        row["code"],
        row["price"],
        f"{value:,.2f}",
        f"{Decimal(row['fee']):,.4f}",
        f"{Decimal(row['realized']):,.2f}",
        row["purpose"],
        row["origin"],
        row["order_id"],
    )
