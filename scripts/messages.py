"""Collect every text a person reads, bring the translations up to date, and compile them.

    python scripts/messages.py            collect, update locale/*/LC_MESSAGES/*.po, compile
    python scripts/messages.py --check    change nothing; say what is missing and exit with 1 where
    anything is

Three catalogues per language, each with its own source and its own use:

    django.po      templates, and texts of Python marked with gettext    → django.mo, read by Django
    djangojs.po    t("…") and plural(…) of static/js                      → static/js/words/<language>.js
    phrases.po     sentences the code writes in English and keeps         → locale/<language>/phrases.json

A sentence of ``phrases.po`` needs no mark: ``scripts/phrases.py`` finds it where it is written, so that a
new reason
or refusal cannot be forgotten. The compiled files are committed, so nothing is needed to run; Babel is
needed here only.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import os  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")

from babel.messages.catalog import Catalog, Message  # noqa: E402
from babel.messages.extract import extract  # noqa: E402
from babel.messages.mofile import write_mo  # noqa: E402
from babel.messages.pofile import read_po, write_po  # noqa: E402
from django.utils.translation.template import templatize  # noqa: E402

from scripts.phrases import phrases_found  # noqa: E402

LANGUAGES: Final = ("pl",)
PACKAGES: Final = (
    "core", "accounts", "markets", "traders", "allocation", "execution", "positions", "engine",
    "dashboard", "api",
    "alerts", "portfolio_site",
)  # fmt: skip
PYTHON_MARKS: Final = {
    "gettext": None, "gettext_lazy": None, "gettext_noop": None, "_": None,
    "ngettext": (1, 2), "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2), "pgettext_lazy": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3),
}  # fmt: skip
MONTHS: Final = {"pl": "sty lut mar kwi maj cze lip sie wrz paź lis gru"}
# The number's form: one, few, many, as the plural rule of the catalogue's header says.
RULES: Final = {
    "pl": "(n) => (n === 1 ? 0 : n % 10 >= 2 && n % 10 <= 4 && (n % 100 < 12 || n % 100 > 14) ? 1 : 2)"
}
PLURALS: Final = {
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);"
}
HOLES: Final = re.compile(r"%\(\w+\)[sd]|\{\w+\}|<[^>]+>|%%")
Text = str | tuple[str, str]


def main(arguments: list[str]) -> int:
    """Run; return 0 where every language is whole and compiled."""
    check = "--check" in arguments
    found = messages_found()
    problems: list[str] = []
    for language in LANGUAGES:
        for domain, texts in found.items():
            catalogue = catalogue_read(language, domain)
            fresh = catalogue_updated(catalogue, texts, language)
            problems += problems_of(fresh, domain)
            if not check:
                catalogue_write(fresh, language, domain)
            else:
                problems += [f"{domain}: {gone}" for gone in _left_over(catalogue, texts)]
        for path, body in compiled(language).items():
            if check and (not path.is_file() or path.read_bytes() != body):
                problems.append(f"{path.relative_to(ROOT)} is stale: run make messages")
            elif not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
    for problem in problems:
        sys.stdout.write(problem + "\n")
    sys.stdout.write(", ".join(f"{len(texts)} in {domain}" for domain, texts in found.items()) + "\n")
    return 1 if problems else 0


# ---------------------------------------------------------------- collecting
@cache
def messages_found() -> dict[str, dict[Text, str]]:
    """Return what each catalogue must hold, with the file it was first seen in."""
    return {
        "django": dict(_first(_template_texts(), _python_texts())),
        "djangojs": dict(_first(_script_texts())),
        "phrases": dict(_first((text, path) for text, path in phrases_found(root=ROOT))),
    }


def _first(*sources: Iterable[tuple[Text, str]]) -> Iterator[tuple[Text, str]]:
    seen: dict[Text, str] = {}
    for source in sources:
        for text, path in source:
            seen.setdefault(text, path)
    return iter(seen.items())


def _template_texts() -> Iterator[tuple[Text, str]]:
    for path in sorted((ROOT / "templates").rglob("*")):
        if path.suffix in {".html", ".txt"}:
            source = templatize(path.read_text(), origin=str(path))
            yield from _gettext_texts("\n".join(line.strip() for line in source.splitlines()), path)


def _python_texts() -> Iterator[tuple[Text, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield from _gettext_texts(path.read_text(), path)


def _gettext_texts(source: str, path: Path) -> Iterator[tuple[Text, str]]:
    for _line, message, _comments, context in extract(
        "python", io.BytesIO(source.encode()), keywords=PYTHON_MARKS, options={"encoding": "utf-8"}
    ):
        if context:
            raise SystemExit(f"{path}: contexts are not used here ({context!r})")
        if isinstance(message, tuple):
            yield (message[0], message[1]), str(path.relative_to(ROOT))
        elif message:
            yield message, str(path.relative_to(ROOT))


_CALL: Final = re.compile(r"(?<![\w.$])(t|plural)\(")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _script_texts() -> Iterator[tuple[Text, str]]:
    """Yield the texts of t(…), of either branch where a condition chooses, and the forms of plural(…)."""
    for path in sorted((ROOT / "static" / "js").rglob("*.js")):
        if path.parent.name == "words":
            continue
        source = re.sub(r"(?m)^\s*(//|\*|/\*\*).*$", "", path.read_text())
        for call in _CALL.finditer(source):
            arguments = _arguments(source, call.end())
            if call[1] == "t":
                chosen = re.sub(r'(?:[!=]==?)\s*"[^"]*"', "", arguments[0])
                for text in _STRING.findall(chosen):
                    yield json.loads(f'"{text}"'), str(path.relative_to(ROOT))
            elif len(arguments) > 1 and (one := _STRING.fullmatch(arguments[1].strip())):
                many = _STRING.fullmatch(arguments[2].strip()) if len(arguments) > 2 else None
                yield (one[1], many[1] if many else f"{one[1]}s"), str(path.relative_to(ROOT))


def _arguments(source: str, start: int) -> list[str]:
    """Return the arguments of a call whose opening bracket ends at ``start``."""
    parts: list[str] = []
    depth, at, quote, begun = 0, start, "", start
    while True:
        sign = source[at]
        if quote:
            if sign == "\\":
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'`":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            if depth == 0:
                return [*parts, source[begun:at]]
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(source[begun:at])
            begun = at + 1
        at += 1


# ---------------------------------------------------------------- catalogues
def catalogue_path(language: str, domain: str) -> Path:
    """Return where a catalogue lies."""
    return ROOT / "locale" / language / "LC_MESSAGES" / f"{domain}.po"


def catalogue_read(language: str, domain: str) -> Catalog:
    """Return a catalogue; an empty one where none is kept yet."""
    path = catalogue_path(language, domain)
    if not path.is_file():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def catalogue_updated(old: Catalog, texts: dict[Text, str], language: str) -> Catalog:
    """Return the catalogue of exactly these texts, in order, with the translations there are."""
    fresh = Catalog(locale=language, header_comment=f"# {language}: see locale/README.md", charset="utf-8")
    for text in sorted(texts, key=lambda text: text if isinstance(text, str) else text[0]):
        known = old.get(text if isinstance(text, str) else text[0])
        said: str | tuple[str, ...] = ""
        if known is not None and not known.fuzzy and isinstance(known.id, str) == isinstance(text, str):
            said = known.string or ""  # type: ignore[assignment]
        fresh.add(text, said, locations=[(texts[text], None)])  # type: ignore[list-item]
    return fresh


def catalogue_write(catalogue: Catalog, language: str, domain: str) -> None:
    """Write a catalogue; without dates, so that nothing changes where nothing changed."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=116, omit_header=True, sort_output=False)
    head = (
        f'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Plural-Forms: {PLURALS[language]}\\n"\n\n'
    )
    path = catalogue_path(language, domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head.encode() + buffer.getvalue())


def problems_of(catalogue: Catalog, domain: str) -> list[str]:
    """Return what is missing, or has other placeholders or tags than the English."""
    return [f"{domain}: {problem}" for message in catalogue if message.id for problem in _problems(message)]


def _problems(message: Message) -> Iterator[str]:
    ids = (message.id,) if isinstance(message.id, str) else tuple(message.id)
    strings = (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
    if not all(strings):
        yield f"missing: {ids[0]!r}"
        return
    if len(ids) > 1 and len(strings) != 3:
        yield f"needs three forms: {ids[0]!r}"
    wanted = sorted(HOLES.findall(ids[-1]))
    for said in strings:
        if sorted(HOLES.findall(said)) != wanted:
            yield f"other placeholders: {ids[0]!r} → {said!r}"
        if '"' in said and '"' not in ids[0]:
            yield f"a straight quote would end an attribute: {said!r}"


def _left_over(catalogue: Catalog, texts: dict[Text, str]) -> Iterator[str]:
    firsts = {text if isinstance(text, str) else text[0] for text in texts}
    for message in catalogue:
        first = message.id if isinstance(message.id, str) else message.id[0]
        if first and first not in firsts:
            yield f"said nowhere any more: {first!r}"
        if first and message.fuzzy:
            yield f"fuzzy: {first!r}"


# ---------------------------------------------------------------- compiled files
def compiled(language: str) -> dict[Path, bytes]:
    """Return every compiled file of a language with what belongs into it."""
    return {
        catalogue_path(language, "django").with_suffix(".mo"): _mo(catalogue_read(language, "django")),
        ROOT / "static" / "js" / "words" / f"{language}.js": _script(language),
        ROOT / "locale" / language / "phrases.json": _phrases(language),
    }


def _mo(catalogue: Catalog) -> bytes:
    buffer = io.BytesIO()
    plain = Catalog(locale=catalogue.locale, charset="utf-8")
    for message in catalogue:
        if message.id:
            plain.add(message.id, message.string)
    write_mo(buffer, plain)
    body = buffer.getvalue()
    # Babel stamps the time of writing into the header; nothing reads it and it would differ at each run.
    return re.sub(rb"(?:POT-Creation|PO-Revision)-Date: [^\n]{21}", lambda found: _blank(found[0]), body)


def _blank(stamp: bytes) -> bytes:
    name, _, rest = stamp.partition(b": ")
    return name + b": " + b"-" * len(rest)


def _script(language: str) -> bytes:
    texts: dict[str, str] = {}
    forms: dict[str, list[str]] = {}
    for message in catalogue_read(language, "djangojs"):
        if not message.string or not all(message.string):
            continue  # what is not translated yet is shown in English
        if isinstance(message.id, str) and message.id:
            texts[message.id] = str(message.string)
        elif message.id:
            forms[message.id[0]] = list(message.string or ())
    shape = {
        "decimal": ",", "group": "\u202f", "dollarsLast": True, "months": MONTHS[language].split(),
    }  # fmt: skip
    values = {"texts": texts, "forms": forms, "shape": shape}
    body = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    note = "// Made by scripts/messages.py from locale/; not written by hand."
    return f"{note}\nglobalThis.ensembleWords = {{ rule: {RULES[language]}, ...{body} }};\n".encode()


def _phrases(language: str) -> bytes:
    said = {
        message.id: message.string
        for message in catalogue_read(language, "phrases")
        if message.id and message.string
    }
    return (json.dumps(said, ensure_ascii=False, sort_keys=True, indent=0) + "\n").encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
