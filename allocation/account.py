"""The one row per portfolio that holds its money, and the one UPDATE that changes it.

What is freed pays the deficit first; what is taken beyond free capital becomes deficit. Hence always
cash = free + reserved + committed and cash − deficit = Σ ledger entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import DecimalField, F, Value
from django.db.models.functions import Greatest

from allocation.models import CapitalAccount
from core.decimals import MONEY_STEP, ZERO, to_money

MONEY_FIELD: Final = DecimalField(max_digits=28, decimal_places=8)
AMOUNT_MAX: Final = Decimal(1_000_000_000_000)


@dataclass(frozen=True, slots=True)
class Move:
    """Signed changes of an account's columns, in quote currency to 8 places.

    ``free`` is before the deficit is settled. free + reserved + committed must equal the sum of
    the ledger entries booked with it.
    """

    free: Decimal = ZERO
    reserved: Decimal = ZERO
    committed: Decimal = ZERO
    deployed: Decimal = ZERO


def account_change(*, portfolio_id: int, move: Move, booking: bool) -> None:
    """Change an account's columns in one UPDATE; raise ``version`` by 1 if ``booking``.

    Serves nobody who waits for capital: ``allocation.capital.account_move`` does.

    :raises ValueError: an amount finer than 8 decimals, which the database would round
    :raises django.db.IntegrityError: reserved, committed or deployed would fall below zero
    """
    for value in (move.free, move.reserved, move.committed, move.deployed):
        if value != to_money(value):
            msg = f"an account moves in steps of {MONEY_STEP}, got {value}"
            raise ValueError(msg)
    net = F("free") - F("deficit") + Value(move.free, output_field=MONEY_FIELD)
    nothing = Value(ZERO, output_field=MONEY_FIELD)
    changed = CapitalAccount.objects.filter(pk=portfolio_id).update(
        free=Greatest(net, nothing, output_field=MONEY_FIELD),
        deficit=Greatest(nothing - net, nothing, output_field=MONEY_FIELD),
        reserved=F("reserved") + move.reserved,
        committed=F("committed") + move.committed,
        deployed=F("deployed") + move.deployed,
        version=F("version") + int(booking),
    )
    if changed != 1:
        msg = f"portfolio {portfolio_id} has no capital account"
        raise ValueError(msg)
