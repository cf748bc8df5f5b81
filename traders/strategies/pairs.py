"""The file that says which strategy trades which pairs, in which world, with what settings.

Each set of pairs is a trader that anyone can follow. Its key is ``<strategy>:<set>``. The file is
``STRATEGIES_FILE``, read once per process; a wrong one stops the start (``traders.checks``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings

from core.errors import InputError
from core.instruments import is_code
from markets.models import LIVE
from markets.recordings import recording_get, recording_names
from traders.domain.signals import SIGNAL_SHARE
from traders.strategies.base import Strategy, settings_problems
from traders.strategies.catalog import strategies_all, strategy_get
from traders.yaml_files import yaml_load

MAX_PAIRS: Final = 10
NAME_MAX: Final = 80  # a trader's name
_SET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_SET_FIELDS: Final = ("name", "world", "share_pct", "pairs")
_SHARE_PCT: Final = (Decimal("0.1"), Decimal(50))


class StrategiesFileError(InputError):
    """The file of pairs cannot be used; the message is one sentence for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class PairSet:
    """Pairs that one strategy trades with one book.

    :param share: fraction of the book's equity that one BUY takes
    :param pairs: the strategy's settings by instrument code
    """

    strategy: Strategy
    name: str
    label: str
    world: str
    share: Decimal
    pairs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the trader's key."""
        return f"{self.strategy.name}:{self.name}"


def pair_sets_all() -> Mapping[str, PairSet]:
    """Return every set of the file by key, in the file's order.

    :raises StrategiesFileError: the file cannot be used
    """
    return _sets_read(Path(settings.STRATEGIES_FILE))


def pair_set_get(*, key: str) -> PairSet:
    """Return the set that a trader's key names.

    :raises InputError: no such strategy, or no such set of it
    """
    name, _, wanted = key.partition(":")
    strategy = strategy_get(name=name)
    sets = {found.name: found for found in pair_sets_all().values() if found.strategy is strategy}
    if wanted not in sets:
        known = f"Known: {', '.join(f'{name}:{one}' for one in sets)}." if sets else "It has none."
        raise InputError(f"Strategy {name} has no set of pairs named “{wanted}”. {known}", field="key")
    return sets[wanted]


def pair_sets_parse(*, text: str, source: str) -> dict[str, PairSet]:
    """Return the sets that a file's text describes, by key.

    :param source: name of the file, for what is said about it
    :raises StrategiesFileError: naming file, pair, field, value and what is allowed, for everything wrong
    """
    try:
        content = yaml_load(text=text)
    except yaml.YAMLError as error:
        raise StrategiesFileError(f"{source} is no YAML: {' '.join(str(error).split())}.") from error
    reader = _Reader()
    sets = reader.sets({} if content is None else content)
    if reader.problems:
        raise StrategiesFileError(" ".join(f"{source}: {problem}." for problem in reader.problems))
    return {one.key: one for one in sets}


@lru_cache(maxsize=4)
def _sets_read(path: Path) -> Mapping[str, PairSet]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StrategiesFileError(f"{path} cannot be read ({error}); see STRATEGIES_FILE.") from error
    return pair_sets_parse(text=text, source=path.name)


class _Reader:
    """Turns the file's content into sets and keeps every problem."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def sets(self, content: Any) -> list[PairSet]:
        """Return the sets that are in order."""
        known = strategies_all()
        found = []
        for name, group in self._mapping(content, "the file").items():
            if name not in known:
                names = ", ".join(sorted(known))
                self.problems.append(f"{name!r} is no strategy; known strategies are {names}")
                continue
            for set_name, body in self._mapping(group, name).items():
                made = self._set(known[name], set_name, body)
                if made is not None:
                    found.append(made)
        return found

    def _set(self, strategy: Strategy, name: Any, body: Any) -> PairSet | None:
        where, before = f"{strategy.name}:{name}", len(self.problems)
        if not isinstance(name, str) or not _SET_NAME.fullmatch(name):
            self.problems.append(
                f"{where}: a set's name must be 1 to 40 of a-z, 0-9 and _, starting with one of the first two"
            )
        fields = self._mapping(body, where)
        unknown = [field for field in fields if field not in _SET_FIELDS]
        self.problems += [
            f"{where}: {field} is no field; fields are {', '.join(_SET_FIELDS)}" for field in unknown
        ]
        label, world = self._label(where, strategy, fields), self._world(where, fields)
        share, pairs = self._share(where, fields), self._pairs(where, strategy, fields, world)
        if len(self.problems) > before:
            return None
        return PairSet(strategy=strategy, name=name, label=label, world=world, share=share, pairs=pairs)

    def _label(self, where: str, strategy: Strategy, fields: Mapping[str, Any]) -> str:
        label = fields.get("name", strategy.label)
        if not isinstance(label, str) or not 0 < len(label.strip()) <= NAME_MAX:
            self.problems.append(
                f"{where}: name is {label!r}; it must be a text of 1 to {NAME_MAX} characters"
            )
            return ""
        return label.strip()

    def _world(self, where: str, fields: Mapping[str, Any]) -> str:
        worlds = (LIVE, *recording_names())
        world = fields.get("world")
        if world not in worlds:
            self.problems.append(f"{where}: world is {world!r}; it must be one of {', '.join(worlds)}")
            return ""
        return str(world)

    def _share(self, where: str, fields: Mapping[str, Any]) -> Decimal:
        value, (least, most) = fields.get("share_pct", SIGNAL_SHARE * 100), _SHARE_PCT
        try:
            share = Decimal(str(value))
        except InvalidOperation:
            share = Decimal("NaN")
        if isinstance(value, bool) or not share.is_finite() or not least <= share <= most:
            self.problems.append(
                f"{where}: share_pct is {value!r}; it must be a number from {least} to {most}"
            )
            return SIGNAL_SHARE
        return share / 100

    def _pairs(self, where: str, strategy: Strategy, fields: Mapping[str, Any], world: str) -> dict[str, Any]:
        rows = self._mapping(fields.get("pairs"), f"{where}, pairs")
        if not 0 < len(rows) <= MAX_PAIRS:
            self.problems.append(f"{where}: it has {len(rows)} pairs; it must have 1 to {MAX_PAIRS}")
        pairs = {}
        for code, values in rows.items():
            at = f"{where}, pair {code}"
            if problem := _code_problem(code, world):
                self.problems.append(f"{at}: {problem}")
                continue
            chosen = self._mapping(values, at) if values is not None else {}
            problems = settings_problems(strategy=strategy, values=chosen)
            self.problems += [f"{at}: {problem}" for problem in problems]
            if not problems:
                pairs[code] = strategy.settings_class(**chosen)
        return pairs

    def _mapping(self, value: Any, where: str) -> Mapping[Any, Any]:
        if isinstance(value, Mapping):
            return value
        self.problems.append(f"{where}: it is {value!r}; it must be names with what belongs to them")
        return {}


def _code_problem(code: Any, world: str) -> str:
    """Say why something cannot be a pair of a world, empty when it can."""
    if not isinstance(code, str) or not is_code(code):
        return f"{code!r} is no instrument; write its code, such as BTC, in quotes where YAML reads a number"
    if world in recording_names():
        known = [row.spec.code for row in recording_get(name=world).instruments]
        if code not in known:
            return f"it is not in the recording {world}, which has {', '.join(known)}"
    return ""
