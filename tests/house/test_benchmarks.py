"""`make bench`: one list of figures, each of one shape."""

import pytest

from benchmarks import __main__ as bench


def test_figures_are_found_by_name() -> None:
    """OPS-3, CON-5, VIEW-1: each module's figures are in the one list."""
    assert {"cold_start", "memory_total", "conflicts_10x50", "render_update"} <= bench.figures_known().keys()


def test_unknown_name_is_told_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error measures nothing."""
    assert bench.main(["cold_strat"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("No figure is called cold_strat; there are: candidate_score, cold_start, ")


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1), (None, 0)])
def test_goal_that_does_not_hold_is_the_exit_code(
    holds: object, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON line a figure; a figure without a goal fails nothing."""
    figure = {"name": "x", "value": 1, "unit": "s", "baseline": None, "goal": "<= 1", "holds": holds}
    monkeypatch.setattr(bench, "figures_known", lambda: {"x": lambda: [figure]})
    assert bench.main([]) == code
    assert capsys.readouterr().out.count("\n") == 1


def test_figure_without_its_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that says less than the others is a mistake in the benchmark."""
    monkeypatch.setattr(bench, "figures_known", lambda: {"x": lambda: [{"name": "x", "value": 1}]})
    with pytest.raises(ValueError, match="x lacks baseline, goal, holds, unit"):
        bench.main(["x"])
