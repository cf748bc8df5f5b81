"""`manage.py position_exits [list | set | defaults]`: what closes positions by itself, seen and changed."""

from __future__ import annotations

import json
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from engine.management.terminal import TerminalCommand, acting_arguments
from engine.models import Command as Wish
from engine.selectors import portfolio_view
from engine.view_exits import defaults_record
from positions.models import Position

_NUMBERS: Final = {
    "stop_loss_pct": ("--stop-loss", "percent below the average entry, above it for a short; 0: none"),
    "trail_from_pct": ("--trail-from", "gain in percent from which the stop trails; 0: never"),
    "trail_by_pct": ("--trail-by", "percent behind the best price; 0: never"),
    "time_stop_days": ("--time-stop", "days of world time; 0: none"),
}


class Command(TerminalCommand):
    """Changes are commands like those of the page, with the same checks and audit entries."""

    help = "List the exit levels of open positions, change one position's, or those of new positions."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be done."""
        doing = parser.add_subparsers(dest="do", required=True, metavar="list|set|defaults")
        listing = doing.add_parser("list", help="levels of every open position; exit 1 if one has no stop")
        super().add_arguments(listing)
        one = doing.add_parser("set", help="change what closes one position")
        one.add_argument("position", type=int, help="the position's number")
        one.add_argument("--stop", help="the stop's price; it only tightens")
        one.add_argument("--use-defaults", action="store_true", help="the portfolio's rules instead")
        defaults = doing.add_parser("defaults", help="show or change what guards new positions")
        defaults.add_argument(
            "--stops-at-venue", choices=("yes", "no"), help="let stops also rest at the venue"
        )
        for acting in (one, defaults):
            for option, said in _NUMBERS.values():
                acting.add_argument(option, help=said)
            acting.add_argument(
                "--take-profit", metavar="STEPS",
                help="steps like 10%%:50,20%%:100 (gain:part in percent) or 110.5:50 (price:part); none: off",
            )  # fmt: skip
            super().add_arguments(acting)
            acting_arguments(acting)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        if options["do"] == "list":
            self._list(options)
        elif options["do"] == "set":
            self._set(options)
        else:
            self._defaults(options)

    def _list(self, options: dict[str, Any]) -> None:
        findings: list[str] = []
        documents = []
        for portfolio in self.portfolios(options):
            positions = list(portfolio_view(portfolio=portfolio)["positions"].values())
            found = [
                f"nothing stops a loss in {p['code']} of {portfolio.name}"
                for p in positions
                if p["exits"] and p["exits"]["stop"] is None and p["exits"]["trail"] is None
            ]
            findings += found
            documents.append(
                {
                    "portfolio": portfolio.pk,
                    "defaults": defaults_record(portfolio=portfolio),
                    "positions": [_document(position) for position in positions],
                    "findings": found,
                }
            )
            if not options["json"]:
                self.title(portfolio)
                self.table(
                    ("number", "instrument", "side", ">mark", ">stop", ">trailing", ">trails from", ">target",
                     "time stop", "rules", "closing"),
                    [_row(position) for position in positions],
                    empty="No open position.",
                )  # fmt: skip
        if options["json"]:
            self.document(documents)
        self.findings_raise(findings)

    def _set(self, options: dict[str, Any]) -> None:
        rows = Position.objects.filter(pk=options["position"], portfolio__in=self.portfolios(options))
        position = rows.select_related("portfolio").first()
        if position is None:
            raise CommandError(f"There is no position {options['position']}.", returncode=2)
        data: dict[str, Any] = {"position_id": position.pk, **_rules(options)}
        if options["stop"] is not None:
            data["stop_price"] = options["stop"]
        if options["use_defaults"]:
            data["use_defaults"] = True
        self.carry_out(portfolio=position.portfolio, kind=Wish.Kind.EXITS.value, data=data, options=options)

    def _defaults(self, options: dict[str, Any]) -> None:
        portfolio = self.one_portfolio(options)
        data = _rules(options)
        if options["stops_at_venue"] is not None:
            data["stops_at_venue"] = options["stops_at_venue"] == "yes"
        if data:
            kind = Wish.Kind.EXIT_DEFAULTS.value
            self.carry_out(portfolio=portfolio, kind=kind, data=data, options=options)
            return
        record = defaults_record(portfolio=portfolio)
        if options["json"]:
            self.document(record)
            return
        self.title(portfolio)
        rules = [(name, json.dumps(value) if isinstance(value, list) else value)
                 for name, value in record["rules"].items()]  # fmt: skip
        self.table(("rule", ">value"), [*rules, ("stops_at_venue", record["stops_at_venue"])], empty="")


def _rules(options: dict[str, Any]) -> dict[str, Any]:
    """Return the rules that were given, as the commands take them."""
    rules: dict[str, Any] = {
        name: options[option.removeprefix("--").replace("-", "_")]
        for name, (option, _) in _NUMBERS.items()
        if options[option.removeprefix("--").replace("-", "_")] is not None
    }
    if options["take_profit"] is not None:
        rules["take_profit"] = _steps(options["take_profit"])
    return rules


def _steps(text: str) -> list[dict[str, str]]:
    """Read "10%:50,120.5:100": a gain in percent or a price, and the part it closes in percent.

    :raises CommandError: it is something else
    """
    if text == "none":
        return []
    steps = []
    for part in text.split(","):
        at, colon, fraction = part.strip().partition(":")
        if not colon:
            raise CommandError(f"Write steps like 10%:50,20%:100, got “{part}”.", returncode=2)
        level = {"gain_pct": at.removesuffix("%")} if at.endswith("%") else {"price": at}
        steps.append({**level, "fraction_pct": fraction.removesuffix("%")})
    return steps


def _document(position: dict[str, Any]) -> dict[str, Any]:
    return {name: position[name] for name in ("id", "code", "side", "mark_price", "exits")}


def _row(position: dict[str, Any]) -> tuple[object, ...]:
    exits = position["exits"]
    start = (position["id"], position["code"], position["side"], position["mark_price"])
    if exits is None:
        return (*start, None, None, None, None, None, "nothing held", None)
    until = exits["time_stop_at"]
    return (
        *start,
        exits["stop"],
        exits["trail"],
        exits["activation"],
        exits["target"],
        until and until[:16].replace("T", " "),
        "own" if exits["own"] else "defaults",
        exits["trigger"] and exits["trigger"]["text"],
    )
