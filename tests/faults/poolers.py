# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL and a real PgBouncer on loopback, both with TLS, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sandbox.engine import _system_folders
from tests.ports import held_port

ADMIN = "admin"
_START_SECONDS = 60.0


class Server:
    """A running server. `port`: its TCP port on 127.0.0.1."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def account() -> str:
    """The account that the servers run as: neither of the two runs as root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _as_account(command: Sequence[str | Path]) -> list[str]:
    if os.geteuid() != 0:
        return [str(word) for word in command]
    ids = pwd.getpwnam(account())
    switch = ["setpriv", f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups"]
    return [*switch, *(str(word) for word in command)]


def _give(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, account(), account())


def _wait(server: Server, log: Path, word: str) -> Server:
    """Wait until the log has the word by which the server says that it takes logins."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if word in log.read_text():
            return server
        time.sleep(0.05)
    server.stop()
    raise AssertionError("the server did not start:\n" + log.read_text()[-2000:])


def _key_files(folder: Path, certificate: Path) -> Path:
    """A copy of a PEM with certificate and key that the account may read and nobody else."""
    copy = folder / "server.pem"
    copy.write_bytes(certificate.read_bytes())
    copy.chmod(0o600)
    _give(copy)
    return copy


@contextlib.contextmanager
def _running(folder: Path, port: int, command: Sequence[str | Path], ready: str) -> Iterator[Server]:
    """The server of `command`, from its log's words `ready` on."""
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(_as_account(command), stdout=stream, stderr=stream, cwd="/")
    server = _wait(Server(folder, port, process), log, ready)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def postgres(
    folder: Path,
    certificate: Path,
    sql: Sequence[str],
    *,
    rules: str = "hostssl all all 127.0.0.1/32 scram-sha-256\n",
    **settings: str,
) -> Iterator[Server]:
    """PostgreSQL with TLS. `sql`: statements that are run first, as the superuser; `rules`: its pg_hba.conf."""
    binaries = max(_system_folders(), key=str)
    folder.mkdir(mode=0o700)
    _give(folder)
    data, pem = folder / "data", _key_files(folder, certificate)
    options = [f"--username={ADMIN}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(
        _as_account([binaries / "initdb", f"--pgdata={data}", *options]), check=True, capture_output=True, cwd="/"
    )
    # One statement at a time: the single-user server reads one a line.
    script = "".join(f"{statement};\n" for statement in sql)
    subprocess.run(
        _as_account([binaries / "postgres", "--single", "-D", data, "postgres"]),
        input=script.encode(),
        check=True,
        capture_output=True,
        cwd="/",
    )
    hba = data / "pg_hba.conf"
    hba.write_text(rules)
    all_settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "ssl": "on",
        "ssl_cert_file": str(pem),
        "ssl_key_file": str(pem),
        "fsync": "off",
        "max_connections": "20",
        **settings,
    }
    words = [word for name, value in all_settings.items() for word in ("-c", f"{name}={value}")]
    with held_port() as port:
        command = [binaries / "postgres", "-D", data, "-c", f"port={port}", *words]
        with _running(folder, port, command, "ready to accept connections") as server:
            yield server


@contextlib.contextmanager
def pgbouncer(
    folder: Path, certificate: Path, databases: Mapping[str, str], users: Mapping[str, str], **settings: str
) -> Iterator[Server]:
    """PgBouncer with TLS and SCRAM. `databases`: name to connection string; `users`: name to password."""
    folder.mkdir(mode=0o700)
    _give(folder)
    pem = _key_files(folder, certificate)
    user_file = folder / "users.txt"
    user_file.write_text("".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
    user_file.chmod(0o600)
    options = {
        "listen_addr": "127.0.0.1",
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(user_file),
        "client_tls_sslmode": "require",
        "client_tls_cert_file": str(pem),
        "client_tls_key_file": str(pem),
        "server_tls_sslmode": "require",
        **settings,
    }
    config = folder / "pgbouncer.ini"
    with held_port() as port:
        lines = ["[databases]", *(f"{name} = {value}" for name, value in databases.items())]
        lines += ["[pgbouncer]", f"listen_port = {port}", *(f"{name} = {value}" for name, value in options.items())]
        config.write_text("\n".join(lines) + "\n")
        _give(user_file, config)
        command = [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", config]
        with _running(folder, port, command, "process up") as server:
            yield server
