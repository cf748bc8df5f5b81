"""The file of pairs: what it makes, and that everything wrong in it is named (SIG-1)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from core.errors import InputError
from traders.strategies.pairs import StrategiesFileError, pair_set_get, pair_sets_all, pair_sets_parse
from traders.strategies.rsi_macd_vwap import RsiMacdVwapSettings

MINE = "pairs.yaml: rsi_macd_vwap:mine"
WORLDS = ("live", "replay:alpha_arena", "replay:hyperliquid_wallets", "replay:coinbase_2018")


def problems(text: str) -> str:
    """Return what is said about a file."""
    with pytest.raises(StrategiesFileError) as caught:
        pair_sets_parse(text=text, source="pairs.yaml")
    return caught.value.message


def one(**fields: str) -> str:
    """Return a file with one set, right but for the given lines."""
    lines = {"world": "live", "pairs": "{BTC: }"} | fields
    body = "".join(f"    {name}: {value}\n" for name, value in lines.items())
    return f"rsi_macd_vwap:\n  mine:\n{body}"


def test_a_file_makes_traders() -> None:
    """Each set is a trader; what is left out is the default."""
    sets = pair_sets_parse(text=one(share_pct="2.5", pairs="{BTC: , ETH: {rsi_low: 25}}"), source="x")
    (mine,) = sets.values()
    assert list(sets) == ["rsi_macd_vwap:mine"] == [mine.key]
    assert (mine.label, mine.world, mine.share) == ("RSI, MACD and VWAP", "live", Decimal("0.025"))
    assert mine.pairs == {"BTC": RsiMacdVwapSettings(), "ETH": RsiMacdVwapSettings(rsi_low=25)}
    assert pair_sets_parse(text="", source="x") == {}


def test_the_shipped_file_holds() -> None:
    """Every set of data/strategies.yaml can be used, and is found by its key alone."""
    sets = pair_sets_all()
    assert list(sets) == [
        "rsi_macd_vwap:coinbase_2018",
        "rsi_macd_vwap:majors",
        "average_cross:coinbase_2018",
    ]
    assert pair_set_get(key="rsi_macd_vwap:majors") is sets["rsi_macd_vwap:majors"]
    assert {one.share for one in sets.values()} == {Decimal("0.05")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "pairs.yaml is no YAML: while parsing a flow node"),
        ("- 1", "pairs.yaml: the file: it is [1]; it must be names with what belongs to them."),
        (
            "moon: {}",
            "pairs.yaml: 'moon' is no strategy; known strategies are average_cross, rsi_macd_vwap.",
        ),
        (
            one(world="mars"),
            f"{MINE}: world is 'mars'; it must be one of {', '.join(WORLDS)}.",
        ),
        (
            one(share_pct="80"),
            f"{MINE}: share_pct is 80; it must be a number from 0.1 to 50.",
        ),
        (
            one(share_pct="much"),
            f"{MINE}: share_pct is 'much'; it must be a number from 0.1 to 50.",
        ),
        (
            one(name="''"),
            f"{MINE}: name is ''; it must be a text of 1 to 80 characters.",
        ),
        (
            one(pairs="{}"),
            f"{MINE}: it has 0 pairs; it must have 1 to 10.",
        ),
        (
            one(pairs="{1: }"),
            f"{MINE}, pair 1: 1 is no instrument; write its code, such as BTC, in quotes",
        ),
        (
            one(world="replay:coinbase_2018", pairs="{DOGE: }"),
            f"{MINE}, pair DOGE: it is not in the recording replay:coinbase_2018, which has BTC, ETH.",
        ),
        (
            one(pairs="{BTC: {rsi_period: 1}}"),
            f"{MINE}, pair BTC: rsi_period is 1; it must be a whole number from 2 to 100.",
        ),
        (
            one(pairs="{BTC: {macd_fast: 40}}"),
            f"{MINE}, pair BTC: macd_fast is 40; it must be below macd_slow, which is 26.",
        ),
        (
            one(pair="BTC"),
            f"{MINE}: pair is no field; fields are name, world, share_pct, pairs.",
        ),
        (
            one().replace("mine", "My Coins"),
            "pairs.yaml: rsi_macd_vwap:My Coins: a set's name must be 1 to 40 of a-z, 0-9 and _, starting",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    """File, pair, field, value and what is allowed."""
    assert problems(text).startswith(said)


def test_everything_wrong_is_named_at_once() -> None:
    """Whoever mends a file wants to know all of it."""
    said = problems(one(world="mars", share_pct="0", pairs="{BTC: {rsi_low: 0}}"))
    assert [part in said for part in ("world is 'mars'", "share_pct is 0", "rsi_low is 0")] == [True] * 3


def test_a_name_that_stands_twice_is_refused() -> None:
    """YAML would take the second without a word."""
    assert "'BTC' stands there twice" in problems(one(pairs="{BTC: , BTC: {rsi_low: 20}}"))


def test_unknown_keys_are_refused_with_the_known_ones() -> None:
    """FOL-3: a clear error for whoever typed a trader's key."""
    with pytest.raises(
        InputError, match=r"no set of pairs named “moon”\. Known: rsi_macd_vwap:coinbase_2018, "
    ):
        pair_set_get(key="rsi_macd_vwap:moon")
    with pytest.raises(InputError, match="no strategy named “moon”"):
        pair_set_get(key="moon:majors")


def test_a_wrong_file_stops_the_start(settings: Any, tmp_path: Path) -> None:
    """SIG-1: one clear sentence before anything is started, also where there is no file."""
    path = tmp_path / "pairs.yaml"
    path.write_text(one(pairs="{BTC: {rsi_period: 1}}"))
    settings.STRATEGIES_FILE = path
    (error,) = [found for found in run_checks() if found.id == "traders.E001"]
    assert error.msg == (f"{MINE}, pair BTC: rsi_period is 1; it must be a whole number from 2 to 100.")
    with pytest.raises(CommandError, match="rsi_period is 1"):
        call_command("site_prepare", no_demo=True)
    settings.STRATEGIES_FILE = tmp_path / "none.yaml"
    (error,) = [found for found in run_checks() if found.id == "traders.E001"]
    assert error.msg.startswith(f"{tmp_path / 'none.yaml'} cannot be read ")
