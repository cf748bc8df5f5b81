"""Old view + change = new view, whatever changed (VIEW-2)."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from core.events import KEYED_SECTIONS, RECORD_SECTIONS, view_apply, view_diff

entities = st.dictionaries(
    st.sampled_from("abcde"), st.fixed_dictionaries({"v": st.integers(0, 3)}), max_size=5
)
views = st.fixed_dictionaries(
    {name: st.fixed_dictionaries({"v": st.integers(0, 3)}) for name in RECORD_SECTIONS}
    | dict.fromkeys(KEYED_SECTIONS, entities)
)


@given(old=views, new=views)
def test_a_change_turns_the_old_view_into_the_new(old: dict, new: dict) -> None:
    untouched = copy.deepcopy(old)
    assert view_apply(old, view_diff(old, new)) == new
    assert old == untouched


@given(view=views)
def test_no_change_says_nothing(view: dict) -> None:
    assert view_diff(view, copy.deepcopy(view)) == {"set": {}, "drop": {}}


def test_a_change_names_only_what_changed() -> None:
    empty: dict = {name: {} for name in (*RECORD_SECTIONS, *KEYED_SECTIONS)}
    old = {**empty, "kpis": {"equity": "1"}, "positions": {"1": {"q": "5"}, "2": {"q": "7"}}}
    new = {**empty, "kpis": {"equity": "1"}, "positions": {"1": {"q": "6"}}}
    assert view_diff(old, new) == {"set": {"positions": {"1": {"q": "6"}}}, "drop": {"positions": ["2"]}}
