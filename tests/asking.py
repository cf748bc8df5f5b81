"""A process that asks for capital, for races: `python -m tests.asking <portfolio> <times> <amount>`.

It prints how many of its requests were granted and how many were denied.
"""

import os
import sys
from collections import Counter
from decimal import Decimal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from allocation.reservations import capital_reserve  # noqa: E402
from core.clock import utc_now  # noqa: E402


def ask(*, portfolio_id: int, times: int, amount: Decimal) -> Counter[str]:
    """Ask for the same amount many times, at once or not at all; return how often what was answered."""
    return Counter(
        capital_reserve(
            portfolio_id=portfolio_id,
            amount=amount,
            source="race",
            instrument_code="BTC",
            now=utc_now(),
            timeout_s=3600,
        ).status
        for _ in range(times)
    )


def main() -> None:
    """Ask as the arguments say."""
    portfolio_id, times, amount = sys.argv[1:4]
    answers = ask(portfolio_id=int(portfolio_id), times=int(times), amount=Decimal(amount))
    sys.stdout.write(f"{answers['granted']} {answers['denied']}\n")


if __name__ == "__main__":
    main()
