"""What is understood of a state file, and the amounts in it; see ``engine.domain.state_file``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from core.decimals import ZERO, plain, to_price

AMOUNT_MAX: Final = Decimal(10) ** 12
CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something in the file that a person must know.

    :param place: where: "positions.BTC.entry_price"
    :param fatal: nothing can be taken over because of it
    """

    place: str
    text: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class FilePosition:
    """One position; ``cost`` is quantity × average entry, to 8 places.

    :param traders: whose it was, by name
    """

    code: str
    quantity: Decimal
    cost: Decimal
    mark: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    traders: tuple[str, ...] = ()

    @property
    def entry_price(self) -> Decimal:
        """The average entry, rounded to 12 places."""
        return to_price(self.cost / self.quantity)


@dataclass(frozen=True, slots=True)
class StateFile:
    """What was understood of a file, and what was not.

    :param cash: all of it, margin included; what spot holdings cost is not in it
    :param history: how many entries of history there are, by name; they are told and not taken over
    """

    version: int
    policy: str
    world: str
    cash: Decimal
    positions: tuple[FilePosition, ...]
    equity: Decimal | None
    traders: tuple[str, ...]
    history: Mapping[str, int]
    findings: tuple[FileFinding, ...]

    @property
    def fatal(self) -> bool:
        """Whether nothing can be taken over."""
        return any(finding.fatal for finding in self.findings)

    @property
    def deposit(self) -> Decimal:
        """What has to be put in: the cash, and under the spot policy what the holdings cost."""
        return self.cash + (sum((p.cost for p in self.positions), ZERO) if self.policy == "spot" else ZERO)


@dataclass
class Told:
    findings: list[FileFinding] = field(default_factory=list)

    def fatal(self, place: str, text: str) -> None:
        self.findings.append(FileFinding(place, text, fatal=True))

    def note(self, place: str, text: str) -> None:
        self.findings.append(FileFinding(place, text, fatal=False))


def first_amount(
    part: Mapping[str, Any], names: Iterable[str], place: str, told: Told, *, fatal: bool = True
) -> Decimal | None:
    """Return the amount under the first of several names; two that differ are told."""
    found: dict[str, Decimal] = {}
    for name in names:
        if part.get(name) is None:
            continue
        amount = amount_read(part[name])
        if amount is not None and abs(amount) <= AMOUNT_MAX:
            found[name] = amount
        else:
            (told.fatal if fatal else told.note)(
                place_at(place, name), f"“{str(part[name])[:40]}” is no amount."
            )
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} {plain(amount)}" for name, amount in found.items())
        (told.fatal if fatal else told.note)(place_at(place, next(iter(found))), f"They differ: {said}.")
        return None
    return next(iter(found.values()), None)


def amount_read(value: object) -> Decimal | None:
    """Return a number, or a text that is one, with at most 12 places; None for anything else."""
    if isinstance(value, str) and value.strip() and len(value) <= 60:
        if not value.strip().lstrip("-").replace(".", "", 1).isdecimal():
            return None
        value = Decimal(value.strip())
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > 20:
        return None
    return value


def unknown_note(part: Mapping[str, Any], place: str, known: Iterable[str], told: Told) -> None:
    for name in sorted(set(part) - set(known)):
        told.note(place_at(place, name), "Not understood; left out.")


def place_at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
