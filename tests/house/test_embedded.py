"""OPS-3: the embedded services start, keep what they were given, and refuse damaged files in one sentence."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import redis

from portfolio_site.config import embedded_redis_url
from portfolio_site.embedded import POSTGRES_SETTINGS, EmbeddedPostgres, EmbeddedRedis
from portfolio_site.processes import StartRefused, children_stop


@pytest.fixture
def var_dir() -> Iterator[Path]:
    """A place PostgreSQL's own user may enter when the tests run as root, which pytest's tmp_path is not."""
    with TemporaryDirectory(prefix="ensemble-embedded-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def query(postgres: EmbeddedPostgres, sql: str) -> object:
    with psycopg.connect(
        host=str(postgres.socket_dir), user="postgres", dbname="ensemble", autocommit=True
    ) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone() if cursor.description else None


@pytest.mark.slow
def test_postgres_keeps_its_rows_over_a_stop_and_over_a_kill(var_dir: Path) -> None:
    """OPS-3: what was committed is there after an orderly stop and after SIGKILL."""
    postgres = EmbeddedPostgres(var_dir=var_dir)
    child = postgres.start()
    query(postgres, "CREATE TABLE kept (n int)")
    query(postgres, "INSERT INTO kept VALUES (1)")
    children_stop(children=[child], timeout_s=10)
    assert child.exit_code() == 0

    child = postgres.start()
    query(postgres, "INSERT INTO kept VALUES (2)")
    child.kill()

    child = postgres.start()
    assert query(postgres, "SELECT sum(n) FROM kept") == (3,)
    children_stop(children=[child], timeout_s=10)


@pytest.mark.slow
def test_postgres_pid_file_of_another_process_is_no_obstacle(var_dir: Path) -> None:
    """OPS-3: after a crash of the machine the number in postmaster.pid may be anybody's."""
    postgres = EmbeddedPostgres(var_dir=var_dir)
    children_stop(children=[postgres.start()], timeout_s=10)
    (postgres.data_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.data_dir}\n")
    child = postgres.start()
    assert child.exit_code() is None
    children_stop(children=[child], timeout_s=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"), [("PG_VERSION", "does not contain valid data"), ("global/pg_control", "")]
)
def test_damaged_cluster_is_refused_and_left_alone(var_dir: Path, name: str, reason: str) -> None:
    """OPS-3: one sentence with the directory and the reason; nothing is made anew over the damaged files."""
    postgres = EmbeddedPostgres(var_dir=var_dir)
    children_stop(children=[postgres.start()], timeout_s=10)
    os.truncate(postgres.data_dir / name, 0)
    with pytest.raises(
        StartRefused, match=rf"^The embedded PostgreSQL does not run on .*{reason}.*backup"
    ) as refusal:
        postgres.start()
    assert "\n" not in str(refusal.value)
    assert (postgres.data_dir / name).stat().st_size == 0


def test_redis_keeps_its_keys_over_a_stop(var_dir: Path) -> None:
    """OPS-3: queued work survives a restart."""
    embedded = EmbeddedRedis(var_dir=var_dir)
    child = embedded.start()
    with redis.Redis.from_url(embedded_redis_url(var_dir=var_dir)) as client:
        client.set("queued", "work")
    children_stop(children=[child], timeout_s=10)

    child = embedded.start()
    with redis.Redis.from_url(embedded_redis_url(var_dir=var_dir)) as client:
        assert client.get("queued") == b"work"
    children_stop(children=[child], timeout_s=10)


def test_redis_on_garbage_is_refused(var_dir: Path) -> None:
    """OPS-3: a damaged append-only file is told with what to do."""
    (var_dir / "redis").mkdir()
    (var_dir / "redis" / "appendonly.aof").write_bytes(b"not a command\r\n" * 20)
    with pytest.raises(
        StartRefused, match=r"^The embedded Redis does not run on .*Bad file format.*move that directory"
    ):
        EmbeddedRedis(var_dir=var_dir).start()


def test_second_redis_on_the_same_files_is_refused(var_dir: Path) -> None:
    """OPS-3: two servers never write one file."""
    embedded = EmbeddedRedis(var_dir=var_dir)
    child = embedded.start()
    with pytest.raises(StartRefused, match="still answers"):
        embedded.start()
    children_stop(children=[child], timeout_s=10)
    assert child.exit_code() == 0


def test_services_answer_in_a_directory_too_deep_for_a_socket(var_dir: Path) -> None:
    """OPS-3: the path of the clone does not matter."""
    embedded = EmbeddedRedis(var_dir=var_dir / ("deep" * 20) / ("deeper" * 15))
    child = embedded.start()
    assert child.exit_code() is None
    assert len(str(embedded.socket_path)) < 100
    children_stop(children=[child], timeout_s=10)
    embedded.socket_path.parent.rmdir()


def test_what_is_committed_is_on_disk() -> None:
    """OPS-3: the embedded cluster keeps PostgreSQL's own, strict settings for durability."""
    assert not {"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"} & set(POSTGRES_SETTINGS)
