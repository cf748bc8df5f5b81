"""The form of a portfolio's exit defaults: what guards its new positions (EXT-2)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django import forms

from accounts.models import Portfolio
from core.decimals import plain
from dashboard.fields import NumberField
from dashboard.forms import OnceForm
from execution.desks import desk_of
from execution.venues import venue_get
from execution.venues.base import StopVenue
from positions.domain.exit_checks import STEPS_MAX
from positions.exits import defaults_of

STEPS_LEAST: Final = 3  # rows of steps that are shown, empty or not
NUMBER: Final = {"class": "input num", "inputmode": "decimal", "autocomplete": "off"}
RULES: Final[Mapping[str, tuple[str, str, int]]] = {
    "stop_loss_pct": ("Stop loss", "below the average entry; empty for none", 4),
    "trail_from_pct": ("Trails from a gain of", "empty for no trailing stop", 4),
    "trail_by_pct": ("Trailing distance", "below the best price since", 4),
    "time_stop_days": ("Time stop", "days since it was opened; empty for none", 6),
}


def stops_supported(*, portfolio: Portfolio) -> bool:
    """Tell whether stops can rest at the venue that a portfolio trades on."""
    return isinstance(venue_get(name=desk_of(portfolio_id=portfolio.pk).venue), StopVenue)


class ExitDefaultsForm(OnceForm):
    """What guards new positions; percent and days as they are typed, an empty field switches a rule off."""

    stops_at_venue = forms.BooleanField(required=False, label="Stops also rest at the venue")

    def __init__(self, data: Mapping[str, Any] | None = None, *, portfolio: Portfolio) -> None:
        super().__init__(data, auto_id="exits_%s")
        rules = defaults_of(portfolio_id=portfolio.pk)
        for name, (label, text, places) in RULES.items():
            now = getattr(rules, name)
            self.fields[name] = _number(label, places, plain(now) if now else "", text)
        for row in range(min(STEPS_MAX, max(STEPS_LEAST, len(rules.take_profit) + 1))):
            step = rules.take_profit[row] if row < len(rules.take_profit) else {}
            self.fields[f"gain_{row}"] = _number(f"Gain of step {row + 1}", 4, step.get("gain_pct", ""))
            self.fields[f"part_{row}"] = _number(
                f"Part step {row + 1} closes", 4, step.get("fraction_pct", "")
            )
        venue = self.fields["stops_at_venue"]
        venue.initial, venue.disabled = rules.stops_at_venue, not stops_supported(portfolio=portfolio)
        venue.widget.attrs |= {"class": "switch", "role": "switch"}

    @property
    def rules(self) -> list[forms.BoundField]:
        """The fields that are one number each."""
        return [self[name] for name in RULES]

    @property
    def steps(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """The steps of take profit: gain, and the part it closes."""
        count = sum(name.startswith("gain_") for name in self.fields)
        return [(self[f"gain_{row}"], self[f"part_{row}"]) for row in range(count)]

    def clean(self) -> dict[str, Any]:
        """Refuse half a step beside the field that is missing."""
        cleaned = super().clean() or {}
        for gain, part in self.steps:
            for given, missing in ((gain.name, part.name), (part.name, gain.name)):
                if (
                    cleaned.get(given) is not None
                    and cleaned.get(missing) is None
                    and missing not in self.errors
                ):
                    self.add_error(missing, "A step needs both: its gain, and the part it closes.")
        return cleaned

    @property
    def command(self) -> dict[str, Any]:
        """The data of the command that a valid form asks for."""
        typed = self.cleaned_data
        steps = [
            {"gain_pct": plain(typed[gain.name]), "fraction_pct": plain(typed[part.name])}
            for gain, part in self.steps
            if typed[gain.name] is not None
        ]
        data: dict[str, Any] = {name: plain(typed[name] or Decimal(0)) for name in RULES}
        data["take_profit"] = steps
        if not self.fields["stops_at_venue"].disabled:
            data["stops_at_venue"] = typed["stops_at_venue"]
        return data

    def blame(self, field: str | None) -> str | None:
        """Return the field beside which a refusal of the command is shown, if it names one."""
        name = "gain_0" if field == "take_profit" else field
        return name if name in self.fields else None


def _number(label: str, places: int, initial: str, text: str = "") -> NumberField:
    return NumberField(
        required=False,
        decimal_places=places,
        max_digits=12,
        min_value=0,
        initial=initial,
        label=label,
        help_text=text,
        widget=forms.TextInput(attrs=NUMBER),
    )
