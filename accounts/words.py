"""The reader's language at the doors: pages, API and sockets say what the code wrote in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.utils.translation import get_language, gettext, override
from django.utils.translation.trans_real import parse_accept_lang_header

from core.locales import Shape, shape_of
from core.phrases import Phrasebook

# What the parts of the live view and of the API's answers hold for people to read. Names, codes and
# identifiers
# are never here: they stay as they are.
SAID_KEYS: Final = frozenset(
    {
        "action", "answer", "badge", "capped", "capped_reason", "cause", "check_error", "detail",
        "error", "errors",
        "finding", "hint", "label", "note", "one_position", "price_note", "problem", "reason",
        "reset_reason", "status_reason",
        "text", "title", "why", "world_label",
    }
)  # fmt: skip


def language_chosen(*, user: object, cookie: str, accepted: str) -> str:
    """Return whose language counts: the person's own, else the cookie's, else the first the browser asks for.

    :param user: who reads; anybody without a language of their own, or not signed in, has none
    :param accepted: an Accept-Language header
    """
    known = [code for code, _ in settings.LANGUAGES]
    own = getattr(user, "language", "")
    asked = [code.partition("-")[0] for code, _ in parse_accept_lang_header(accepted.lower())]
    return next((code for code in (own, cookie, *asked) if code in known), settings.LANGUAGE_CODE)


@cache
def _book(language: str) -> Phrasebook | None:
    path = Path(settings.LOCALE_PATHS[0]) / language / "phrases.json"
    if not path.is_file():
        return None
    return Phrasebook(entries=json.loads(path.read_text()), shape=shape_of(language=language))


def shape() -> Shape:
    """Return how the language of this request or task writes numbers."""
    return shape_of(language=get_language() or "en")


def said(text: str, *, language: str | None = None) -> str:
    """Return a sentence the code wrote in English in the reader's language; unknown ones as they are."""
    code = (language or get_language() or "en").partition("-")[0]
    book = _book(code)
    if book is None or (told := book.say(text)) != text:
        return text if book is None else told
    with override(code):
        return gettext(text) if text else text


def said_within(data: Any, *, language: str | None = None) -> Any:
    """Return JSON-like data with everything that is for people to read (``SAID_KEYS``) in their language."""
    code = (language or get_language() or "en").partition("-")[0]
    return data if _book(code) is None else _walk(data, code, told=False)


def _walk(value: Any, language: str, *, told: bool) -> Any:
    if isinstance(value, str):
        return said(value, language=language) if told else value
    if isinstance(value, Mapping):
        return {key: _walk(part, language, told=told or key in SAID_KEYS) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(part, language, told=told) for part in value]
    return value
