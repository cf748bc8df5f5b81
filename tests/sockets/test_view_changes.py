"""VIEW-2: the difference of two views, applied to the old one, gives the new one; always."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from core.events import KEYED_SECTIONS, RECORD_SECTIONS, view_apply, view_diff
from tests.sockets.views import view_make

_values = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["0", "0.00", "1.5", "-1", ""])
_records = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), _values | st.lists(_values, max_size=2), max_size=3
)
_keyed = st.dictionaries(st.sampled_from(["1", "2", "3", "10"]), _records, max_size=4)
_views = st.fixed_dictionaries(
    {**dict.fromkeys(RECORD_SECTIONS, _records), **dict.fromkeys(KEYED_SECTIONS, _keyed)}
)


@given(old=_views, new=_views)
def test_old_plus_difference_is_new(old: Any, new: Any) -> None:
    """VIEW-2: for any two views, also after the change went through JSON."""
    before = copy.deepcopy(old)
    change = json.loads(orjson.dumps(view_diff(old, new)))

    assert view_apply(old, change) == new
    assert old == before, "the old view must stay as it was"


@given(view=_views)
def test_nothing_changed_is_an_empty_difference(view: Any) -> None:
    """VIEW-2: equal views differ by nothing, so nothing is sent."""
    assert view_diff(view, copy.deepcopy(view)) == {"set": {}, "drop": {}}


@given(views=st.lists(_views, min_size=2, max_size=6))
def test_a_chain_of_changes_ends_at_the_last_view(views: Any) -> None:
    """VIEW-2: a page that took every change shows what a page opened now shows."""
    shown = views[0]
    for old, new in itertools.pairwise(views):
        shown = view_apply(shown, view_diff(old, new))
    assert shown == views[-1]


def test_only_what_changed_is_sent() -> None:
    """VIEW-2: a record goes whole, of a keyed section only the entities that differ."""
    old = view_make(positions={"1": {"q": "1"}, "2": {"q": "2"}, "3": {"q": "3"}})
    new = view_make(equity="10001", positions={"1": {"q": "1"}, "2": {"q": "2.5"}, "4": {"q": "4"}})
    assert view_diff(old, new) == {
        "set": {"kpis": {"equity": "10001"}, "positions": {"2": {"q": "2.5"}, "4": {"q": "4"}}},
        "drop": {"positions": ["3"]},
    }
