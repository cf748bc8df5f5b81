"""CFG-1: the environment is read with types and bounds, documented whole, and wrong values are told."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import global_settings
from django.core.exceptions import ImproperlyConfigured

from portfolio_site import settings
from portfolio_site.config import (
    SOCKET_DIR_LENGTH_MAX,
    EnvironmentReader,
    broker_url_from,
    embedded_database_url,
    embedded_redis_url,
    socket_dir_for,
)

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = [
    "accounts",
    "alerts",
    "markets",
    "traders",
    "allocation",
    "execution",
    "positions",
    "engine",
    "dashboard",
    "api",
    "portfolio_site",
]


def reader(**environment: str) -> EnvironmentReader:
    return EnvironmentReader(environment=environment)


def test_defaults_are_those_of_the_specification() -> None:
    """CFG-1: the shipped defaults."""
    defaults = {variable.name: variable.default for variable in settings.read.variables}
    assert defaults["INITIAL_PORTFOLIO_VALUE"] == "10000"
    assert defaults["RESERVATION_TIMEOUT_SECONDS"] == "30"
    assert defaults["SYNC_INTERVAL_SECONDS"] == "60"
    assert defaults["POSITION_CACHE_SECONDS"] == "10"
    assert defaults["SNAPSHOT_RETENTION_DAYS"] == "90"
    assert defaults["MARK_STALE_SECONDS"] == "15"
    assert defaults["REPLAY_SPEED"] == "600"


def test_numbers_are_decimals_and_never_pass_through_floats() -> None:
    """CFG-1: 0.1 is one tenth."""
    assert reader(FEE="0.1").number("FEE", "4.5", low="0", high="10") == Decimal("0.1")
    assert reader(FEE=" ").number("FEE", "4.5", low="0", high="10") == Decimal("4.5")


@pytest.mark.parametrize("written", ["ten", "NaN", "Infinity", "1e9", "-1", "1,5"])
def test_wrong_number_is_refused_by_name(written: str) -> None:
    """CFG-1: the sentence names the variable, the value and the bounds; nothing falls back in silence."""
    read = reader(PORT_SHARE=written)
    read.number("PORT_SHARE", "5", low="0", high="100")
    with pytest.raises(ImproperlyConfigured, match=r"^PORT_SHARE is .* a number between 0 and 100\.$"):
        read.problems_raise()


def test_whole_number_refuses_fractions() -> None:
    """CFG-1: seconds and ports are whole."""
    read = reader(PORT="80.5")
    read.whole("PORT", 8000, low=1, high=65535)
    assert read.problems == ["PORT is '80.5'; it must be a whole number between 1 and 65535."]


def test_all_problems_are_told_at_once() -> None:
    """CFG-1: three wrong values need one start to be found, not three."""
    read = reader(A="x", B="maybe", C="loud")
    read.whole("A", 1, low=1, high=2)
    read.flag("B", default=False)
    read.choice("C", "INFO", allowed=("DEBUG", "INFO"))
    assert read.problems == [
        "A is 'x'; it must be a whole number between 1 and 2.",
        "B is 'maybe'; write true or false.",
        "C is 'loud'; it must be one of DEBUG, INFO.",
    ]


def test_flags_words_and_choices() -> None:
    """CFG-1: the usual spellings."""
    assert [reader(F=word).flag("F", default=False) for word in ("1", "True", "YES", "on")] == [True] * 4
    assert [reader(F=word).flag("F", default=True) for word in ("0", "False", "no", "off")] == [False] * 4
    assert reader(HOSTS="a.example, b.example,").words("HOSTS", "") == ["a.example", "b.example"]
    assert reader(LEVEL="warning").choice("LEVEL", "INFO", allowed=("INFO", "WARNING")) == "WARNING"


def test_sockets_lie_in_var_or_where_its_path_is_too_long_in_a_short_place() -> None:
    """OPS-3: a clone in a deep directory starts too, and every process finds the same place."""
    assert socket_dir_for(var_dir=Path("/srv/var")) == Path("/srv/var/run")
    deep = Path("/" + "/".join(["a-long-directory-name"] * 6))
    short = socket_dir_for(var_dir=deep)
    assert len(str(short / "postgres")) <= SOCKET_DIR_LENGTH_MAX
    assert short == socket_dir_for(var_dir=deep)
    assert short != socket_dir_for(var_dir=deep / "other")


def test_addresses_of_embedded_services() -> None:
    """OPS-3: one place decides where they are."""
    database_url = embedded_database_url(var_dir=Path("/srv/var"))
    assert database_url == "postgres://postgres@//srv/var/run/postgres/ensemble"
    redis_url = embedded_redis_url(var_dir=Path("/srv/var"), database=3)
    assert redis_url == "unix:///srv/var/run/redis.sock?db=3"
    assert broker_url_from(redis_url=redis_url) == "redis+socket:///srv/var/run/redis.sock?virtual_host=3"
    assert broker_url_from(redis_url="redis://:p@host:6379/2") == "redis://:p@host:6379/2"


def test_every_variable_is_documented_with_its_default() -> None:
    """DOC-1: docs/configuration.md and .env.example name each variable with the default the code has."""
    table = (ROOT / "docs/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (`[^`]*`|empty) \|", table, re.MULTILINE))
    example = (ROOT / ".env.example").read_text()
    examples = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.MULTILINE))
    defaults = {variable.name: variable.default for variable in settings.read.variables}
    assert examples == defaults
    assert {name: value.strip("`").replace("empty", "") for name, value in rows.items()} == defaults


def test_every_variable_is_used() -> None:
    """House habit 13: no option that changes nothing."""
    code = "\n".join(path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py"))
    unused = [
        variable.name
        for variable in settings.read.variables
        if not hasattr(global_settings, variable.name)  # Django reads those itself
        # read.…("NAME"), NAME = …, and a use
        and len(re.findall(rf"\b{variable.family or variable.name}\b", code)) < 3
    ]
    assert unused == []


def test_secret_is_made_once_and_private(tmp_path: Path) -> None:
    """SEC-1: the key is long, stays the same, and nobody else can read it."""
    from portfolio_site.secret import SECRET_LENGTH_MIN, secret_key_load

    path = tmp_path / "new" / "secret_key"
    key = secret_key_load(path=path)
    assert len(key) >= SECRET_LENGTH_MIN
    assert secret_key_load(path=path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["secret_key"]
