"""Find the sentences that the code writes in English for people, where they are written.

A sentence is a string, or an f-string with its values as {0}, {1}, that is words and not a name, a query,
a pattern,
a log line, a comment of a field or an error that only a developer meets. Words that stand alone are
collected where they
are labels: of choices, of keyword arguments such as ``label=``, and of the branches inside an f-string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "core", "accounts", "markets", "traders", "allocation", "execution", "positions", "engine",
    "dashboard", "api",
    "alerts",
)  # fmt: skip
NOT_READ: Final = frozenset(
    {
        "migrations",
        "management",
        "admin",
        "admin.py",
        "apps.py",
        "metrics.py",
        "sealing.py",
        "client_ids.py",
        "chain_file.py",
    }
)
MARKED: Final = frozenset(
    {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
)
LOGS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
# Calls whose strings nobody reads: patterns, queries, metrics, commands, identifiers.
NOT_TOLD: Final = frozenset(
    {
        "compile", "execute", "executemany", "RunSQL", "RawSQL", "cast", "TypeVar", "getenv",
        "Counter", "Gauge", "Histogram",
        "CounterMetricFamily", "GaugeMetricFamily", "HistogramMetricFamily", "_gauge", "_counter",
        "CheckConstraint",
        "UniqueConstraint", "Index", "CheckWarning", "Error", "format_html", "format_html_join",
        "SafeString", "print",
        "strftime", "strptime", "fullmatch", "match", "search", "sub", "split", "startswith",
        "endswith", "fromisoformat",
        "has_perm", "register", "filter", "exclude", "annotate", "getattr", "import_module",
        "reverse", "Logger",
    }
)  # fmt: skip
# Errors that tell of a fault in the program, not of something its user did.
FAULTS: Final = frozenset(
    {
        "ValueError", "TypeError", "RuntimeError", "KeyError", "LookupError", "IndexError", "AssertionError",
        "AttributeError", "ImproperlyConfigured", "BooksDiffer", "NotImplementedError",
        "OverflowError", "SealBroken",
        "UnknownPermission", "ChainsFileError", "StrategiesFileError", "ArithmeticError",
        "Superseded", "LeaseLost",
    }
)  # fmt: skip
LABELS: Final = frozenset(
    {
        "label",
        "title",
        "text",
        "word",
        "words",
        "name",
        "note",
        "action",
        "what",
        "why",
        "reason",
        "detail",
        "hint",
        "answer",
    }
)
FIELD_NOTES: Final = frozenset({"help_text", "verbose_name", "verbose_name_plural", "db_comment"})
# Words that sentences take in as values and that are written nowhere as a label.
INSIDE: Final = (
    "long", "short", "flat", "buy", "sell", "hold", "none", "live", "paper", "spot", "perp",
    "shadow", " and ",
    "conservative", "balanced", "aggressive", "custom", "combine", "largest", "first", "multi",
    "single", "hybrid",
    "low", "medium", "high", "critical", "nothing", "now", "never", "on", "off", "replay",
    "Policy", "Strategy on {0}",
)  # fmt: skip
# Written to recognise what others say, not to be said.
NOT_SAID: Final = frozenset(
    {
        "rate limit", "too many requests", "request limit", "limit exceeded", "out of gas",
        "gas required exceeds",
        "invalid opcode", "invalid jump", "evm error", "intrinsic gas",
        "too many cumulative requests", "try again",
        "Duplicate order sent", "never placed, already canceled, or filled", "-sandbox", "Balance",
        "OpenPositions",
    }
)  # fmt: skip
_WORDS: Final = re.compile(r"[A-Za-z’']{2,}[,:;.]?\s+(?:\S+\s+)*?[(“\"'‘]?[A-Za-z]{1,}")
_LABEL: Final = re.compile(r"[A-Z][A-Za-z ’'()&/-]*")
_QUERY: Final = re.compile(
    r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM|SET TRANSACTION|LOCK TABLE|WHERE|FROM|RETURNING)\b"
    r"|::|%\(\w+\)s|%s"
)
_CODE: Final = re.compile(
    r"[<>]=|</|\\[dwsb]|^[\w./:*{}?=&-]+$|^-----|[{}]{2}|^\W+$|\w\.\w+ [-=+]|= '|_\w+ - "
    r"|^(chip|input|tile) |', '|^-- |charset=|^attachment;"
)


def phrases_found(*, root: Path) -> Iterator[tuple[str, str]]:
    """Yield each sentence and the file it is written in."""
    for word in INSIDE:
        yield word, "scripts/phrases.py"
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if not NOT_READ & set(path.relative_to(root).parts):
                name = str(path.relative_to(root))
                for text in _Finder(ast.parse(path.read_text())).found():
                    yield text, name


class _Finder:
    """Walks one module and says which of its strings people read."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def found(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            text = _template(node)
            if text is None or self._is_part(node) or self._unread(node):
                continue
            if text in NOT_SAID or _QUERY.search(text):
                continue
            if _is_sentence(text) or self._is_label(node, text):
                yield text

    def _is_part(self, node: ast.AST) -> bool:
        parent = self.parent.get(node)
        return isinstance(parent, ast.JoinedStr | ast.Expr)

    def _is_label(self, node: ast.AST, text: str) -> bool:
        parent = self.parent.get(node)
        if isinstance(parent, ast.IfExp | ast.BoolOp) and isinstance(
            self.parent.get(parent), ast.FormattedValue
        ):
            return bool(re.search("[a-z]{2}", text))
        if isinstance(parent, ast.keyword):
            return parent.arg in LABELS and bool(_LABEL.fullmatch(text)) and not text.isupper()
        if isinstance(parent, ast.Call) and node in parent.args:
            return _called(parent) == "Choice" and bool(_LABEL.fullmatch(text))
        if isinstance(parent, ast.Tuple) and len(parent.elts) == 2 and parent.elts[1] is node:
            first = parent.elts[0]
            return bool(_LABEL.fullmatch(text)) and isinstance(first, ast.Constant | ast.Attribute)
        if isinstance(parent, ast.Dict) and node in parent.values:
            return bool(_LABEL.fullmatch(text)) and not text.isupper() and len(text) > 2
        return False

    def _unread(self, node: ast.AST) -> bool:
        """Whether a string stands where nobody reads it."""
        inner: ast.AST = node
        while (outer := self.parent.get(inner)) is not None:
            if isinstance(outer, ast.keyword) and outer.arg in FIELD_NOTES and self._of_model(outer):
                return True
            if isinstance(outer, ast.Call) and _called(outer) in MARKED | NOT_TOLD | FAULTS:
                return True
            if (
                isinstance(outer, ast.Call)
                and isinstance(outer.func, ast.Attribute)
                and outer.func.attr in LOGS
            ):
                return True
            if isinstance(outer, ast.Assert):
                return True
            if isinstance(outer, ast.AnnAssign) and inner is outer.annotation:
                return True
            if isinstance(outer, ast.Assign) and (
                self._message_of_fault(outer) or _names(outer) & FIELD_NOTES
            ):
                return True
            if isinstance(outer, ast.FunctionDef) and outer.name in {"__str__", "__repr__"}:
                return True
            if isinstance(outer, ast.Subscript | ast.Compare):
                return True
            inner = outer
        return False

    def _of_model(self, keyword: ast.keyword) -> bool:
        call = self.parent.get(keyword)
        return isinstance(call, ast.Call) and not ast.unparse(call.func).startswith("forms.")

    def _message_of_fault(self, assign: ast.Assign) -> bool:
        """Whether a text is given a name only to be raised as a fault right after."""
        parent = self.parent.get(assign)
        for block in (getattr(parent, name, []) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list) and assign in block:
                after = block[block.index(assign) + 1 :][:1]
                if after and isinstance(after[0], ast.Raise) and isinstance(after[0].exc, ast.Call):
                    return _called(after[0].exc) in FAULTS
        return False


def _template(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        named = re.sub(r"\{(\w+)(?:![rs])?(?::[^}]*)?\}", r"{\1}", node.value)
        counted = count()
        return re.sub(r"\{(?::[^}]*)?\}", lambda _: f"{{{next(counted)}}}", named)
    if not isinstance(node, ast.JoinedStr):
        return None
    text, holes = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        else:
            text, holes = f"{text}{{{holes}}}", holes + 1
    return text


def _is_sentence(text: str) -> bool:
    bare = re.sub(r"\{\w+\}", " 0 ", text)
    return bool(re.search("[a-z]{2}", bare)) and bool(_WORDS.search(bare)) and not _CODE.search(text)


def _names(assign: ast.Assign) -> set[str]:
    return {target.id for target in assign.targets if isinstance(target, ast.Name)}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
