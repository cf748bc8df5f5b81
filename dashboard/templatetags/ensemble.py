"""Template helpers: icons, traders' tiles, the theme, numbers as the live pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_noop
from django.utils.translation import gettext as _

from accounts import words as spoken
from accounts.zones import zone_names, zone_offsets
from core.clock import utc_now
from core.locales import dollars, number_text
from dashboard.language_forms import ProfileForm

register = template.Library()

MINUS: Final = "\u2212"
UNKNOWN: Final = "\u2013"
THEMES: Final = frozenset({"light", "dark"})


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """A Lucide icon from the sprite of the page; decorative, so hidden from screen readers."""
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="#i-{}"/></svg>', f"icon {css}".strip(), name
    )


@register.simple_tag
def tile(monogram: str, hue: int, css: str = "") -> SafeString:
    """Two letters on a trader's hue; the name stands beside it in words."""
    return format_html(
        '<span class="{}" aria-hidden="true">{}</span>', f"tile t{hue} {css}".strip(), monogram
    )


ORDER_STATES: Final = {
    "pending": ("clock", "held", gettext_noop("Pending")),
    "submitted": ("circle", "working", gettext_noop("Working")),
    "partially_filled": ("contrast", "partial", gettext_noop("Partly filled")),
    "unknown": ("triangle-alert", "held", gettext_noop("No answer yet")),
    "filled": ("circle-check", "filled", gettext_noop("Filled")),
    "cancelled": ("circle-minus", "cancelled", gettext_noop("Cancelled")),
    "expired": ("clock", "expired", gettext_noop("Expired")),
    "rejected": ("circle-x", "rejected", gettext_noop("Rejected")),
}


@register.simple_tag
def order_state(status: str, css: str = "") -> SafeString:
    """An order's state as a chip: icon, word and tone."""
    return _state_chip(ORDER_STATES[status], css)


COMMAND_STATES: Final = {
    "accepted": ("hourglass", "working", gettext_noop("Accepted")),
    "running": ("hourglass", "working", gettext_noop("Under way")),
    "done": ("circle-check", "filled", gettext_noop("Done")),
    "refused": ("ban", "held", gettext_noop("Refused")),
    "failed": ("triangle-alert", "rejected", gettext_noop("Failed")),
}


@register.simple_tag
def command_state(status: str) -> SafeString:
    """A command's state as a chip."""
    return _state_chip(COMMAND_STATES[status])


def _state_chip(state: tuple[str, str, str], css: str = "") -> SafeString:
    name, tone_of, word = state
    classes = f"chip state-{tone_of} {css}".strip()
    return format_html('<span class="{}">{}{}</span>', classes, icon(name), _(word))


@register.simple_tag
def order_word(status: str) -> str:
    """An order's state in a word or two."""
    return _(ORDER_STATES[status][2]) if status in ORDER_STATES else _("Made")


@register.simple_tag
def follow_tile(follow: Any, css: str = "") -> SafeString:
    """A trader's tile with its name as title; the owner's own part has no follow."""
    if follow is None:
        return format_html('<abbr class="{}" title="{}">ME</abbr>', f"tile t-mine {css}".strip(), _("Mine"))
    return format_html(
        '<abbr class="{}" title="{}">{}</abbr>',
        f"tile t{follow.hue} {css}".strip(), follow.trader.name, follow.trader.monogram,
    )  # fmt: skip


@register.simple_tag
def moment(at: datetime | None, form: str = "j M H:i:s") -> SafeString | str:
    """A time in the reader's zone as a time element; an en dash when there is none."""
    if at is None:
        return UNKNOWN
    local = timezone.localtime(at)
    month = spoken.shape().months[local.month - 1]
    shown = month.join(date_format(local, part) for part in form.split("M"))
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), shown)


@register.filter
def iso_moment(text: str | None, form: str) -> SafeString | str:
    """A time of the view, which is text, as ``moment`` shows one."""
    return moment(datetime.fromisoformat(text), form) if text else UNKNOWN


@register.filter
def entry(section: dict[str, Any], key: object) -> Any:
    """One entity of a section of the view."""
    return section.get(str(key), {})


@register.filter
def at_least(value: object, least: int) -> bool:
    """Whether a number is known and not below ``least``."""
    known = _decimal(value)
    return known is not None and known >= least


@register.filter
def share(part: object, whole: object) -> str:
    """``part`` of ``whole`` in whole percent."""
    known, total = _decimal(part), _decimal(whole)
    return UNKNOWN if known is None or not total else f"{number(known / total * 100, 0)}%"


@register.simple_tag
def side_word(value: object) -> SafeString:
    """Long, short or flat, with its arrow: a neutral word."""
    known = _decimal(value) or Decimal(0)
    if not known:
        return format_html('<span class="side">{}</span>', _("Flat"))
    name, word = ("arrow-up-right", _("Long")) if known > 0 else ("arrow-down-right", _("Short"))
    return format_html('<span class="side">{}{}</span>', icon(name), word)


@register.simple_tag
def stance(value: object, at_price: object) -> str:
    """``Long 0.4120``, ``Short 92.0`` or ``Flat``."""
    known = _decimal(value)
    if known is None or not known:
        return _("Flat")
    words = _("Long %(size)s") if known > 0 else _("Short %(size)s")
    return words % {"size": quantity(known, at_price)}


@register.simple_tag
def stance_value(value: object) -> str:
    """The size of a signed notional in dollars."""
    known = _decimal(value)
    return UNKNOWN if known is None else usd(abs(known), 0)


@register.simple_tag
def trade(value: object, at_price: object, name: str) -> str:
    """``Buy 45.0 SOL``, ``Sell 3.1 SOL`` or ``none``: the order that a signed change needs."""
    known = _decimal(value)
    size = quantity(known, at_price)
    if known is None or not known or not _shows(size):
        return _("none")
    words = _("Buy %(size)s %(name)s") if known > 0 else _("Sell %(size)s %(name)s")
    return words % {"size": size, "name": name}


@register.filter
def times(value: object, factor: object) -> Decimal | None:
    """A product of two known numbers."""
    known, other = _decimal(value), _decimal(factor)
    return None if known is None or other is None else known * other


@register.filter
def duration(value: timedelta | None) -> str:
    """``4 min``, ``2 h 05 min`` or ``3 d 04 h``, as the live pages write a span."""
    if value is None:
        return UNKNOWN
    total = max(0, round(value.total_seconds()))
    if total < 60:
        return f"{total} s"
    minutes = total // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 24 else f"{hours // 24} d {hours % 24:02} h"


@register.simple_tag(takes_context=True)
def theme_attribute(context: dict[str, Any]) -> SafeString:
    """The theme this person chose, from its cookie; without one the system's preference rules."""
    request = context.get("request")
    chosen = request.COOKIES.get("theme", "") if request else ""
    return format_html(' data-theme="{}"', chosen) if chosen in THEMES else SafeString("")


@register.simple_tag
def sheet_url(name: str) -> str:
    """Address of one of our style sheets."""
    return static(f"css/{name}.css")


@register.filter
def words(text: str) -> list[str]:
    """Split a list written as words."""
    return text.split()


@register.filter
def uncapitalised(text: str) -> str:
    """A label as it stands inside a sentence."""
    return text[:1].lower() + text[1:]


def _shows(body: str) -> bool:
    """Whether any digit but zero is shown."""
    return any(digit in "123456789" for digit in body)


def _decimal(value: object) -> Decimal | None:
    if value is None or value == "":
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _body(value: Decimal, digits: int) -> str:
    return number_text(value, digits, shape=spoken.shape())


@register.filter
def said(text: object) -> str:
    """A sentence the code wrote in English, in the reader's language."""
    return spoken.said(str(text)) if text else ""


@register.filter
def said_view(view: dict[str, Any]) -> Any:
    """The live view with everything that is for people to read in the reader's language."""
    return spoken.said_within(view)


@register.inclusion_tag("includes/language_switch.html", takes_context=True)
def language_switch(context: dict[str, Any]) -> dict[str, Any]:
    """The switch of the pages' language; leads back to the page it stands on."""
    return {
        "request": context.get("request"),
        "csrf_token": context.get("csrf_token"),
        "languages": settings.LANGUAGES,
        "language": get_language(),
    }


@register.inclusion_tag("includes/profile_form.html", takes_context=True)
def profile_form(context: dict[str, Any]) -> dict[str, Any]:
    """The form of a person's language and time zone, with how times and numbers look under it."""
    request = context["request"]
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "form": ProfileForm.of(request.user, language=get_language() or settings.LANGUAGE_CODE),
        "zones": zone_names(),
        "now": utc_now(),
    }


@register.simple_tag
def zone_name() -> str:
    """The zone in which this page shows times: UTC, or Europe/Warsaw."""
    return str(timezone.get_current_timezone())


@register.simple_tag
def zone_attributes() -> SafeString:
    """The reader's zone and the changes of its offset for the clocks of the page; nothing for UTC."""
    zone = timezone.get_current_timezone()
    if not isinstance(zone, ZoneInfo) or zone.key == "UTC":
        return SafeString("")
    changes = ",".join(f"{seconds}:{minutes}" for seconds, minutes in zone_offsets(zone=zone))
    return format_html(' data-zone="{}" data-offsets="{}"', zone.key, changes)


@register.simple_tag
def words_url(language: str) -> str:
    """Address of the words a language's pages draw in the browser."""
    return static(f"js/words/{language}.js")


@register.filter
def number(value: object, digits: int = 2) -> str:
    """``1,234.50`` with U+2212 as the minus sign; an en dash when the value is not known."""
    known = _decimal(value)
    if known is None:
        return UNKNOWN
    body = _body(known, digits)
    return MINUS + body if known < 0 and _shows(body) else body


@register.filter
def percent(value: object, digits: int = 2) -> str:
    """A share that is already in percent: ``12.50%``."""
    text = number(value, digits)
    return text if text == UNKNOWN else f"{text}%"


@register.filter
def signed(value: object, digits: int = 2) -> str:
    """As ``number``, with the sign always shown unless every shown digit is zero."""
    known = _decimal(value)
    if known is None:
        return UNKNOWN
    body = _body(known, digits)
    return body if not _shows(body) else ("+" if known > 0 else MINUS) + body


@register.filter
def usd(value: object, digits: int = 2) -> str:
    """Dollars, the minus before the sign of the currency."""
    text = number(value, digits)
    if text == UNKNOWN:
        return text
    sign = MINUS if text.startswith(MINUS) else ""
    return sign + dollars(text.removeprefix(MINUS), shape=spoken.shape())


@register.filter
def tone(value: object, digits: int = 2) -> str:
    """``up``, ``down`` or ``flat``: the class that gives a result its colour and triangle."""
    text = signed(value, digits)
    return "up" if text.startswith("+") else "down" if text.startswith(MINUS) else "flat"


@register.filter
def price(value: object) -> str:
    """A price with about six digits in all: 107,310.0 and 0.19210."""
    known = _decimal(value)
    if known is None or known == 0:
        return number(value)
    magnitude = known.copy_abs().adjusted()
    return number(known, 1 if magnitude >= 4 else 2 if magnitude >= 1 else min(10, 4 - magnitude))


@register.filter
def quantity(value: object, at_price: object = None) -> str:
    """A quantity with steps worth roughly one to ten dollars at the given price, without its sign."""
    known, reference = _decimal(value), _decimal(at_price)
    if known is None:
        return UNKNOWN
    digits = max(0, min(6, reference.copy_abs().adjusted())) if reference else 4
    return number(known.copy_abs(), digits)


@register.simple_tag
def share_bar(parts: Sequence[tuple[str, str, int]]) -> SafeString:
    """Equal shares as a bar: name, monogram and hue of each; widths in percent, so it stays fluid."""
    width = Decimal(100) / max(1, len(parts))
    pieces = format_html_join(
        "",
        '<rect class="t{} seg-on" x="{}%" width="{}%" height="28"/>'
        '<text class="seg-text" x="{}%" y="18">{}</text>',
        (
            (hue, f"{width * at:.3f}", f"{width:.3f}", f"{width * at + width / 2:.3f}", monogram)
            for at, (_name, monogram, hue) in enumerate(parts)
        ),
    )
    label = _("Equal shares: %(names)s") % {"names": ", ".join(part[0] for part in parts)}
    return format_html('<svg class="stack" height="28" role="img" aria-label="{}">{}</svg>', label, pieces)
