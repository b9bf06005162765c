"""The embedded server: found, started, recovered, whoever runs it and however it ended."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestration.errors import HeadraceError
from orchestration.local.server import EmbeddedServer, ensure_server, running_server, stop_server
from tests.commands import REPOSITORY

NOBODY = 65534

ENSURE = (
    "import sys; from pathlib import Path; from orchestration.local.server import ensure_server; "
    "server = ensure_server(Path(sys.argv[1])); print(server.pid, server.url('app'))"
)


def value(server: EmbeddedServer, statement: str, database: str = "app") -> object:
    with psycopg.connect(server.url(database)) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return None if row is None else row[0]


def processes_of(server: EmbeddedServer) -> list[psutil.Process]:
    postmaster = psutil.Process(server.pid)
    return [postmaster, *postmaster.children(recursive=True)]


def kill_all(server: EmbeddedServer) -> None:
    """kill -9 of the postmaster first, then of its children, like a sudden power cut."""
    for process in processes_of(server):
        process.kill()
    wait_until_dead(server.pid)


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} lives")


def test_a_new_home_gets_a_server_with_both_databases_and_no_tcp_port(home: Path) -> None:
    assert running_server(home) is None

    server = ensure_server(home)

    assert value(server, "SELECT current_database()") == "app"
    assert value(server, "SELECT current_database()", "dagster") == "dagster"
    assert value(server, "SHOW listen_addresses") == ""
    assert value(server, "SHOW TimeZone") == "UTC"
    assert value(server, "SHOW shared_buffers") == "256MB"
    assert value(server, "SHOW server_encoding") == "UTF8"
    assert server.data == home / "postgres" / "data"
    assert server.socket_folder.stat().st_mode & 0o077 == 0


def test_a_running_server_is_found_and_not_started_again(used_home: Path) -> None:
    server = ensure_server(used_home)

    assert ensure_server(used_home) == server
    assert running_server(used_home) == server


def test_a_stopped_server_is_gone_and_stopping_again_is_no_error(used_home: Path) -> None:
    server = ensure_server(used_home)

    stop_server(used_home)

    assert running_server(used_home) is None
    wait_until_dead(server.pid)
    stop_server(used_home)
    stop_server(used_home / "never")


def test_a_missing_database_is_made_again(used_home: Path) -> None:
    server = ensure_server(used_home)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE dagster")

    ensure_server(used_home)

    assert value(server, "SELECT 1", "dagster") == 1


def test_what_was_committed_survives_kill_9_of_every_process(used_home: Path) -> None:
    server = ensure_server(used_home)
    with psycopg.connect(server.url("app")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    kill_all(server)
    assert running_server(used_home) is None

    again = ensure_server(used_home)

    assert again.pid != server.pid
    assert value(again, "SELECT count(*) FROM kept") == 1000


def test_lock_files_whose_process_id_went_to_somebody_else_are_nobodys(used_home: Path) -> None:
    server = ensure_server(used_home)
    kill_all(server)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for lock in (server.data / "postmaster.pid", server.socket_folder / ".s.PGSQL.5432.lock"):
            lines = lock.read_text().splitlines()
            lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

        assert running_server(used_home) is None
        again = ensure_server(used_home)

        assert value(again, "SELECT 1") == 1
        assert stranger.poll() is None
        stop_server(used_home)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_backend_that_outlived_its_postmaster_does_not_stop_the_next_start(used_home: Path) -> None:
    server = ensure_server(used_home)
    with psycopg.connect(server.url("app")) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        backend.send_signal(signal.SIGSTOP)  # it holds the shared memory, and notices nothing
        psutil.Process(server.pid).kill()
        wait_until_dead(server.pid)
        assert backend.is_running()

        again = ensure_server(used_home)

        assert value(again, "SELECT 1") == 1
        wait_until_dead(backend.pid)


def test_a_server_that_lost_one_process_is_waited_for_while_it_recovers(used_home: Path) -> None:
    server = ensure_server(used_home)
    with psycopg.connect(server.url("app")) as connection:
        psutil.Process(connection.info.backend_pid).kill()

        assert ensure_server(used_home) == server

    assert value(server, "SELECT 1") == 1


def test_a_server_whose_socket_was_removed_is_replaced(used_home: Path) -> None:
    server = ensure_server(used_home)
    (server.socket_folder / ".s.PGSQL.5432").unlink()
    assert running_server(used_home) is None

    again = ensure_server(used_home)

    assert again.pid != server.pid
    assert value(again, "SELECT 1") == 1


def test_a_cluster_left_half_made_is_made_anew(home: Path) -> None:
    unfinished = home / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    assert value(ensure_server(home), "SELECT 1") == 1
    assert not unfinished.exists()


def test_two_processes_that_start_it_at_once_get_the_same_server(
    home: Path, child_env: dict[str, str]
) -> None:
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", ENSURE, str(home)], env=child_env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    answers = {process.communicate(timeout=60)[0] for process in starting}

    assert [process.returncode for process in starting] == [0, 0, 0]
    assert len(answers) == 1
    found = running_server(home)
    assert found is not None
    assert answers == {f"{found.pid} {found.url('app')}\n"}


@contextmanager
def moved(home: Path, path: Path) -> Iterator[Path]:
    """The cluster of `home` under another path, as if somebody had moved the whole folder; moved back at the end."""
    stop_server(home)
    path.mkdir(parents=True)
    (home / "postgres").rename(path / "postgres")
    try:
        yield path
    finally:
        stop_server(path)
        (path / "postgres").rename(home / "postgres")


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder_for_it(used_home: Path) -> None:
    with moved(used_home, used_home / ("x" * 60) / ("y" * 60)) as deep:
        server = ensure_server(deep)

        assert value(server, "SELECT 1") == 1
        assert len(str(server.socket_folder)) < 40
        assert server.socket_folder.stat().st_mode & 0o077 == 0
        assert running_server(deep) == server
    assert not server.socket_folder.exists()


def test_a_socket_folder_that_somebody_else_took_is_not_used(used_home: Path) -> None:
    with moved(used_home, used_home / ("y" * 100)) as deep:
        taken = ensure_server(deep).socket_folder
        stop_server(deep)
        taken.mkdir()
        taken.chmod(0o777)
        try:
            with pytest.raises(HeadraceError, match=r"belongs to somebody else.*HEADRACE_HOME"):
                ensure_server(deep)
        finally:
            taken.rmdir()


@pytest.mark.parametrize("name", ["a 'b' \"c\" $HOME `d` \\ # %", "a,b"])
def test_signs_that_mean_something_to_shells_and_settings_may_stand_in_the_path(
    used_home: Path, name: str
) -> None:
    with moved(used_home, used_home / name) as odd:
        assert value(ensure_server(odd), "SELECT 1") == 1


def test_a_cluster_of_another_major_version_is_refused_in_words(home: Path) -> None:
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")

    with pytest.raises(
        HeadraceError, match=r"made by PostgreSQL 16, this Headrace brings 18: move the folder"
    ):
        ensure_server(home)


def test_a_server_that_cannot_start_says_why_and_where_its_log_is(used_home: Path) -> None:
    server = ensure_server(used_home)
    stop_server(used_home)
    conf = server.data / "postgresql.auto.conf"
    before = conf.read_text()
    conf.write_text(before + "shared_buffers = 'plenty'\n")
    try:
        with pytest.raises(HeadraceError, match=r"did not start: .*shared_buffers.*server\.log"):
            ensure_server(used_home)
    finally:
        conf.write_text(before)


def test_a_folder_that_cannot_be_made_is_named(home: Path) -> None:
    (home / "file").write_text("")

    with pytest.raises(HeadraceError, match=r"file/var cannot be used.*HEADRACE_HOME"):
        ensure_server(home / "file" / "var")


def test_variables_meant_for_other_servers_do_not_reach_this_one(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_server(used_home)
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGPORT", "1")

    assert value(ensure_server(used_home), "SHOW port") == "5432"


def as_nobody(code: str, home: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Runs Python code as an ordinary user; None if there is no Python that this user can run."""
    same_version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(same_version, path="/usr/local/bin:/usr/bin:/bin")):
        if python is None:
            continue
        try:
            done = subprocess.run(
                [python, "-c", "import orchestration.local.server\n" + code, str(home)],
                env=env | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *site.getsitepackages()])},
                cwd="/",
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except PermissionError:
            continue
        if "ModuleNotFoundError" not in done.stderr and "PermissionError: [Errno 13]" not in done.stderr:
            return done
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")
class TestUsers:
    """If the tests run as root, all others run the server as a system user; here an ordinary user runs it."""

    def test_an_ordinary_user_runs_the_server_as_itself(self, child_env: dict[str, str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
        try:
            os.chown(folder, NOBODY, NOBODY)
            done = as_nobody(ENSURE, folder, child_env)
            if done is None:
                pytest.skip("no Python here that another user can run")

            assert done.returncode == 0, done.stderr
            found = running_server(folder)
            assert found is not None
            assert psutil.Process(found.pid).uids().real == NOBODY
            assert found.data.stat().st_uid == NOBODY

            stop_server(folder)
            assert value(ensure_server(folder), "SELECT 1") == 1, "root runs it as its owner"
            assert found.data.stat().st_uid == NOBODY
        finally:
            stop_server(folder)
            shutil.rmtree(folder)

    def test_roots_server_is_out_of_an_ordinary_users_reach_and_that_is_said(
        self, used_home: Path, child_env: dict[str, str]
    ) -> None:
        ensure_server(used_home)

        done = as_nobody(ENSURE, used_home, child_env)
        if done is None:
            pytest.skip("no Python here that another user can run")

        assert done.returncode != 0
        assert "HeadraceError" in done.stderr
        assert "run as its owner, or name another folder in HEADRACE_HOME" in done.stderr
