# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real PostgreSQL and a real PgBouncer refuse, and the code that the check gives it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint

from tests.faults import poolers
from tests.faults.certificates import Authority

pytestmark = pytest.mark.skipif(
    not shutil.which("pgbouncer"), reason="pgbouncer is not installed: run `make system-deps` as root"
)

USER = "maxroach"
PASSWORD = "c4n4ry &/%: pw"
SQL = (
    f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'",
    f"CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0",
    f"CREATE ROLE nologin NOLOGIN PASSWORD '{PASSWORD}'",
    f"CREATE ROLE old LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2020-01-01'",
    "CREATE DATABASE shop",
    "CREATE DATABASE closed",
    "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
)


@dataclass
class Site:
    """The servers, and the CA that all of them are verified by."""

    ca: Path
    certificate: Path
    postgres: poolers.Server

    def backend(self, database: str = "shop", **more: str) -> str:
        facts = {"host": "127.0.0.1", "port": str(self.postgres.port), "dbname": database, **more}
        return " ".join(f"{key}={value}" for key, value in facts.items())

    def check(self, port: int, **facts: Any) -> dict[str, Any]:
        given = {"host": "localhost", "user": USER, "database": "shop", "password": PASSWORD, "ca_file": str(self.ca)}
        return check_endpoint(Endpoint.from_dict({"name": "shop", "port": port, **given, **facts}), 20.0).as_dict()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # Not pytest's own folder, which the servers' account cannot reach.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority = Authority(folder, "Test CA")
        certificate = authority.issue("good")
        with poolers.postgres(folder / "postgres", certificate, SQL) as server:
            yield Site(authority.path, certificate, server)


@pytest.fixture(scope="module")
def pooler(site: Site) -> Iterator[poolers.Server]:
    databases = {
        "shop": site.backend(),
        "down": "host=127.0.0.1 port=1 dbname=shop",
        "gone": site.backend("gone"),
        "mistyped": site.backend(user=USER, password="bad"),
    }
    users = {USER: PASSWORD, "ghost": PASSWORD}
    settings = {"query_wait_timeout": "2", "server_login_retry": "1"}
    with poolers.pgbouncer(
        site.postgres.folder.parent / "pooler", site.certificate, databases, users, **settings
    ) as it:
        yield it


@pytest.mark.parametrize(
    ("facts", "code", "says"),
    [
        ({}, "ok", ""),
        ({"password": "no"}, "password_rejected", "refuses the password of maxroach"),
        ({"user": "nobody"}, "password_rejected", "has no user nobody"),
        ({"user": "old"}, "password_rejected", "old"),
        ({"user": "nologin"}, "login_denied", "NOLOGIN"),
        ({"user": "limited"}, "role_at_limit", 'too many connections for role "limited"'),
        ({"database": "nodb"}, "database_missing", "nodb"),
        ({"database": "closed"}, "connect_denied", "closed"),
        ({"options": "--cluster=funky-skunk-123"}, "startup_cluster_refused", "--cluster"),
        ({"options": "-c nosuch=1"}, "startup_option_refused", "option nosuch"),
        ({"options": "-c statement_timeout=abc"}, "startup_option_refused", "option statement_timeout"),
        ({"options": "junk"}, "startup_option_refused", "option junk"),
    ],
)
def test_postgresql(site: Site, facts: dict[str, Any], code: str, says: str) -> None:
    report = site.check(site.postgres.port, **facts)
    assert report["code"] == code
    assert says in report["cause"]


@pytest.mark.parametrize(
    ("facts", "code", "says"),
    [
        ({}, "ok", ""),
        ({"password": "no"}, "pooler_password_rejected", "auth_file"),
        ({"user": "nobody"}, "pooler_password_rejected", "has no user nobody"),
        ({"database": "nodb"}, "pooler_database_unknown", "no database nodb"),
        ({"database": "down"}, "pooler_server_down", "query_wait_timeout"),
        ({"database": "gone"}, "database_missing", "gone"),
        ({"database": "mistyped"}, "pooler_login_refused", 'password authentication failed for user "maxroach"'),
        ({"user": "ghost"}, "pooler_login_refused", 'password authentication failed for user "ghost"'),
        ({"options": "--cluster=funky-skunk-123"}, "pooler_option_refused", "ignore_startup_parameters"),
        ({"database": "pgbouncer"}, "pooler_console", "console"),
    ],
)
def test_pgbouncer(site: Site, pooler: poolers.Server, facts: dict[str, Any], code: str, says: str) -> None:
    report = site.check(pooler.port, **facts)
    assert report["code"] == code
    assert says in report["cause"] + report["cure"]


@pytest.mark.parametrize(
    ("settings", "facts", "code", "says"),
    [
        ({"max_client_conn": "0"}, {}, "pooler_full", "max_client_conn"),
        ({"auth_type": "hba", "auth_hba_file": "/dev/null"}, {}, "hba_refused", "login rejected"),
        ({"auth_type": "plain"}, {"password": "no"}, "pooler_password_rejected", "refuses the password"),
        ({"client_tls_sslmode": "disable"}, {}, "tls_not_offered", "without TLS"),
        ({"ignore_startup_parameters": "options"}, {"options": "--cluster=funky-skunk-123"}, "ok", ""),
    ],
)
def test_pgbouncer_with_other_settings(
    site: Site, tmp_path: Path, settings: dict[str, str], facts: dict[str, Any], code: str, says: str
) -> None:
    folder = site.postgres.folder.parent / tmp_path.name
    with poolers.pgbouncer(folder, site.certificate, {"shop": site.backend()}, {USER: PASSWORD}, **settings) as server:
        report = site.check(server.port, **facts)
    assert report["code"] == code
    assert says in report["cause"]
