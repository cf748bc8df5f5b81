"""Read the environment into typed values and collect every problem as a sentence.

A wrong value never falls back to the default in silence: `EnvironmentReader.problems_raise` refuses to start
and names each variable, what was found and what is allowed.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

# A Unix socket's address holds 108 bytes with its closing zero; this leaves room for `/.s.PGSQL.5432.lock`.
SOCKET_DIR_LENGTH_MAX = 107 - len("/.s.PGSQL.5432.lock")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable the site reads, for the reference in docs/configuration.md."""

    name: str
    default: str
    family: str = ""  # the setting that holds it, where one holds several


def environment_load() -> None:
    """Add what `.env` says to the process environment; what is already set there wins."""
    environ.Env.read_env(BASE_DIR / ".env", overwrite=False)


def var_dir_from(*, environment: Mapping[str, str]) -> Path:
    """Return the directory of everything that is written at run time: `VAR_DIR`, else `var/`."""
    return Path(environment.get("VAR_DIR") or BASE_DIR / "var").resolve()


def socket_dir_for(*, var_dir: Path) -> Path:
    """Return where the embedded services of `var_dir` put their sockets.

    The same answer in every process, so nobody has to be told. Where `var_dir` lies too deep for the address
    of a Unix socket it is a short directory named after its hash in the system's temporary directory.
    """
    inside = var_dir / "run"
    if len(os.fsencode(inside / "postgres")) <= SOCKET_DIR_LENGTH_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ensemble-{os.getuid()}-{digest}"


def embedded_database_url(*, var_dir: Path) -> str:
    """Return the URL of the embedded PostgreSQL of `var_dir`, reached by its socket."""
    return f"postgres://postgres@/{socket_dir_for(var_dir=var_dir) / 'postgres'}/ensemble"


def embedded_redis_url(*, var_dir: Path, database: int = 0) -> str:
    """Return the URL of the embedded Redis of `var_dir`, reached by its socket."""
    return f"unix://{socket_dir_for(var_dir=var_dir) / 'redis.sock'}?db={database}"


def broker_url_from(*, redis_url: str) -> str:
    """Return Celery's spelling of a Redis URL: it writes sockets as `redis+socket://…?virtual_host=N`."""
    if not redis_url.startswith("unix://"):
        return redis_url
    return redis_url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)


class EnvironmentReader:
    """Typed reading of environment variables; each method returns the default where the value is no good
    and keeps the problem for :meth:`problems_raise`."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.variables: list[Variable] = []
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        """Return the value as it stands; an empty value counts as not set."""
        self.variables.append(Variable(name=name, default=default))
        return self._environment.get(name, "").strip() or default

    def family(self, prefix: str, *, known: Sequence[str], setting: str) -> dict[str, str]:
        """Return every variable whose name begins with a prefix, by the rest of its name in lower case.

        :param known: the names after the prefix that are documented; all are empty by default
        :param setting: the setting that keeps them
        """
        self.variables += [Variable(name=f"{prefix}{name}", default="", family=setting) for name in known]
        return {
            name.removeprefix(prefix).lower(): value.strip()
            for name, value in self._environment.items()
            if name.startswith(prefix) and value.strip()
        }

    def choice(self, name: str, default: str, *, allowed: Sequence[str]) -> str:
        """Return one of `allowed`, compared without regard to case."""
        value = self.text(name, default)
        for word in allowed:
            if word.lower() == value.lower():
                return word
        self.problems.append(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """Return a yes/no value."""
        value = self.text(name, "true" if default else "false").lower()
        if value in TRUE_WORDS:
            return True
        if value in FALSE_WORDS:
            return False
        self.problems.append(f"{name} is {value!r}; write true or false.")
        return default

    def words(self, name: str, default: str) -> list[str]:
        """Return a comma-separated list."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number, `low` ≤ value ≤ `high`."""
        return int(self._bounded(name, str(default), low=Decimal(low), high=Decimal(high), whole=True))

    def number(self, name: str, default: str, *, low: str, high: str) -> Decimal:
        """Return a decimal number, `low` ≤ value ≤ `high`."""
        return self._bounded(name, default, low=Decimal(low), high=Decimal(high), whole=False)

    def _bounded(self, name: str, default: str, *, low: Decimal, high: Decimal, whole: bool) -> Decimal:
        written = self.text(name, default)
        kind = "a whole number" if whole else "a number"
        try:
            value = Decimal(written)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or (whole and value != value.to_integral_value()):
            self.problems.append(f"{name} is {written!r}; it must be {kind} between {low} and {high}.")
            return Decimal(default)
        if not low <= value <= high:
            self.problems.append(f"{name} is {written}; it must be {kind} between {low} and {high}.")
            return Decimal(default)
        return value

    def problems_raise(self) -> None:
        """Refuse to go on while a value is wrong.

        :raises ImproperlyConfigured: one sentence for each wrong value
        """
        if self.problems:
            raise ImproperlyConfigured(" ".join(self.problems))
