"""Where each portfolio trades, and by whose rules: on paper, on paper by a venue's rules, or at a venue.

Everything that stores or sends an order asks here, so that no order goes anywhere else than the account its
portfolio is connected to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import Max

from accounts.models import LiveAccount
from core.instruments import Instrument as InstrumentSpec
from markets.models import Instrument, VenueInstrument
from markets.venue_rules import venue_instruments_for

PAPER: Final = "paper"


class RulesOf(NamedTuple):
    """Whose rules: one market of one venue, in one currency."""

    venue: str
    sandbox: bool
    policy: str
    quote: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A portfolio's place of trading.

    :param venue: the name under which its orders are kept and sent
    :param rules: whose rules they keep; None: our own instruments'
    :param specs: those rules by instrument code
    :param taker_fee: the highest among them, a fraction of notional; None: paper's own
    :param state: of the account it is connected to, one of ``LiveAccount.State``; empty without one
    """

    venue: str = PAPER
    rules: RulesOf | None = None
    specs: Mapping[str, InstrumentSpec] | None = None
    taker_fee: Decimal | None = None
    state: str = ""

    @property
    def live(self) -> bool:
        """Whether orders leave this server."""
        return self.venue != PAPER

    def spec(self, row: Instrument) -> InstrumentSpec:
        """Return the rules that an order in an instrument must keep here.

        What the venue does not list any more keeps ours: it is held, and has to be got rid of.
        """
        return row.spec() if self.specs is None else self.specs.get(row.code) or row.spec()

    def of_marked(self, marked: Mapping[str, InstrumentSpec]) -> Mapping[str, InstrumentSpec]:
        """Return what can be traded here out of what has a mark, by code, by the rules that hold here."""
        if self.specs is None:
            return marked
        return {code: self.specs[code] for code in marked if code in self.specs}


ON_PAPER: Final = Desk()


def desk_of(*, portfolio_id: int) -> Desk:
    """Return where a portfolio trades."""
    return desks_of(portfolio_ids=[portfolio_id]).get(portfolio_id, ON_PAPER)


def desks_of(*, portfolio_ids: Collection[int]) -> dict[int, Desk]:
    """Return where these portfolios trade; those that are not listed trade on paper by our own rules."""
    rows = LiveAccount.objects.filter(pk__in=portfolio_ids).exclude(
        state=LiveAccount.State.STOPPED, portfolio__mode="paper"
    )
    found: dict[int, Desk] = {}
    known: dict[RulesOf, Desk] = {}
    for row in rows.only("venue", "sandbox", "policy", "quote", "state"):
        rules = RulesOf(row.venue, row.sandbox, row.policy, row.quote)
        if rules not in known:
            known[rules] = _desk(rules)
        venue = PAPER if row.state in LiveAccount.ON_PAPER else row.venue
        found[row.pk] = replace(known[rules], venue=venue, state=row.state)
    return found


def _desk(rules: RulesOf) -> Desk:
    """Return a desk at a venue, with its rules and its highest taker fee."""
    fees = VenueInstrument.objects.filter(**rules._asdict(), active=True)
    return Desk(
        venue=rules.venue,
        rules=rules,
        specs=venue_instruments_for(**rules._asdict()),
        taker_fee=fees.aggregate(most=Max("taker_fee"))["most"],
    )


def account_desks(*, accounts: Iterable[str]) -> dict[str, Desk]:
    """Return the desks behind the account names that venues know; those not listed follow our own rules."""
    ids = {portfolio_of(account=account): account for account in accounts}
    found = desks_of(portfolio_ids=[portfolio_id for portfolio_id in ids if portfolio_id is not None])
    return {ids[portfolio_id]: desk for portfolio_id, desk in found.items()}


def account_name(*, portfolio_id: int) -> str:
    """Return the name by which a venue knows the account that a portfolio trades with."""
    return f"portfolio:{portfolio_id}"


def portfolio_of(*, account: str) -> int | None:
    """Return whose account it is; None for a name that is not of that form."""
    kind, _, number = account.partition(":")
    return int(number) if kind == "portfolio" and number.isdigit() else None


def venues_of(*, portfolio_ids: Iterable[int]) -> dict[int, str]:
    """Return the venues of the portfolios that trade at one; the others trade on paper."""
    rows = LiveAccount.objects.filter(pk__in=set(portfolio_ids)).exclude(state__in=LiveAccount.ON_PAPER)
    rows = rows.exclude(state=LiveAccount.State.STOPPED, portfolio__mode="paper")
    return dict(rows.values_list("pk", "venue"))
