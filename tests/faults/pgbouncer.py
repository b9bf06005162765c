"""PgBouncer in front of the server under test, for the duration of a block."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def require() -> None:
    """Skips the test if there is no PgBouncer; in CI, which installs it, that is a failure."""
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is not installed; .ci/run installs it")
        pytest.skip("pgbouncer is not installed")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def pgbouncer(server_url: str, mode: str, size: int) -> Iterator[Callable[[str], str]]:
    """Runs it in this pool mode, with `size` server connections for each database and user.

    Yields:
        a function from a database's URL on the server to its URL through the pooler.
    """
    require()
    assert PROGRAM is not None
    server = conninfo_to_dict(server_url)
    host, server_port = str(server["host"]), server.get("port", 5432)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="hr-pgb-", dir="/tmp"))
    folder.chmod(0o755)
    users, conf = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{server["user"]}" "{server.get("password", "")}"\n')
    conf.write_text(
        f"[databases]\n* = host={host} port={server_port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = {size}\n"
    )
    # PgBouncer refuses to run as root. It can reach a socket that is private to its server if it runs as the server's user.
    account = None
    if os.geteuid() == 0:
        name = Path(host, f".s.PGSQL.{server_port}").owner() if host.startswith("/") else "nobody"
        account = pwd.getpwnam(name)
    process = subprocess.Popen(
        [PROGRAM, "--quiet", str(conf)],
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def through(url: str) -> str:
        return f"postgresql://{server['user']}@127.0.0.1:{port}/{conninfo_to_dict(url)['dbname']}"

    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(through(server_url)).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None, "pgbouncer ended"
                assert time.monotonic() < deadline, "pgbouncer does not answer"
                time.sleep(0.05)
        yield through
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder)
