# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameters of a connection string go only to the drivers that know them, and every written URL has its port."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files

BASE = "postgresql://ann:secret@db.example.com/shop?sslmode=verify-full"


def app_of(url, *frameworks, **facts):
    entry = {"name": "shop", "folder": "/srv/shop", "frameworks": list(frameworks), **facts}
    inventory = HostInventory(
        {"connections": {"db": {"url": url, "deployment": "self_hosted", "sslrootcert": "/ca.crt"}}, "apps": [entry]}
    )
    return inventory.apps[0]


def environment(app):
    """The variables of the environment file."""
    (file,) = (f for f in app_files(app, "/srv/shop", "/home/ann", "/ca.crt").files if f.format == "dotenv")
    lines = [line for line in file.content.decode().splitlines() if not line.startswith("#")]
    return {name: value.strip("'\"") for name, _sign, value in (line.partition("=") for line in lines)}


def query(url):
    return dict(parse_qsl(urlsplit(url.removeprefix("jdbc:")).query))


@pytest.mark.parametrize(
    ("framework", "kept"),
    [
        ("psycopg2", {"keepalives", "application_name"}),
        ("ruby-pg", {"keepalives", "application_name"}),
        ("node-postgres", {"keepalives", "application_name", "uselibpqcompat"}),
        ("pgx", {"application_name"}),
        ("pq", {"application_name"}),
    ],
)
def test_each_framework_gets_what_its_driver_knows(framework, kept):
    url = f"{BASE}&schema=s&connection_limit=5&pgbouncer=true&uselibpqcompat=true&keepalives=1&application_name=shop"
    app = app_of(url, framework)
    written = set(query(environment(app)["DATABASE_URL"])) - {"sslmode", "sslrootcert"}
    assert written == kept
    left = {"schema", "connection_limit", "pgbouncer", "uselibpqcompat", "keepalives", "application_name"} - kept
    assert {name for name in left if any(f"The parameter {name} " in note for note in app.notes)} == left
    assert not any("application_name" in note for note in app.notes)


def test_frameworks_that_share_the_url_get_what_all_of_them_know():
    app = app_of(f"{BASE}&keepalives=1&application_name=shop", "psycopg2", "pgx")
    assert set(query(environment(app)["DATABASE_URL"])) - {"sslmode", "sslrootcert"} == {"application_name"}
    assert app.notes == ("The parameter keepalives of the connection db is left out, because it is unknown to pgx.",)


def test_java_reads_a_url_of_its_own():
    app = app_of(f"{BASE}&keepalives=1&currentSchema=s", "psycopg2", "jdbc")
    values = environment(app)
    assert {"keepalives"} <= set(query(values["DATABASE_URL"]))
    assert "currentSchema" not in query(values["DATABASE_URL"])
    assert "currentSchema" in query(values["JDBC_DATABASE_URL"])
    assert "keepalives" not in query(values["JDBC_DATABASE_URL"])


def test_r2dbc_reads_the_url_of_java_too_and_gets_what_its_class_knows():
    url = f"{BASE}&currentSchema=s&socketTimeout=5&application_name=shop"
    app = app_of(url, "r2dbc")
    written = query(environment(app)["JDBC_DATABASE_URL"])
    assert (written["currentSchema"], written["ApplicationName"]) == ("s", "shop")
    assert "socketTimeout" not in written
    assert any("The parameter socketTimeout " in note for note in app.notes)
    assert "socketTimeout" in query(environment(app_of(url, "jdbc"))["JDBC_DATABASE_URL"])
    assert "socketTimeout" not in query(environment(app_of(url, "jdbc", "r2dbc"))["JDBC_DATABASE_URL"])


def test_an_app_without_frameworks_gets_what_libpq_knows():
    app = app_of(f"{BASE}&schema=s&keepalives=1")
    assert set(query(environment(app)["DATABASE_URL"])) - {"sslmode", "sslrootcert"} == {"keepalives"}


@pytest.mark.parametrize(
    ("name", "message"),
    [("aplication_name", "Did you mean application_name?"), ("colour", "no driver knows the parameter 'colour'")],
)
def test_a_parameter_that_nobody_knows_is_refused(name, message):
    with pytest.raises(OnboardingError) as caught:
        app_of(f"{BASE}&{name}=x", "psycopg2")
    assert message in str(caught.value)


@pytest.mark.parametrize("framework", ["psycopg2", "node-postgres", "pgx", "jdbc", "ruby-pg"])
def test_a_written_url_always_has_its_port(framework):
    """Without one, it means 26257 to us, and 5432 to libpq."""
    for value in environment(app_of(BASE, framework)).values():
        assert urlsplit(value.removeprefix("jdbc:")).port == 26257


@pytest.mark.parametrize("key", ["pool_size", "pool_lifetime", "connect_timeout", "keepalive"])
@pytest.mark.parametrize("value", [-1, 100_000])
def test_settings_of_a_pool_that_no_pool_can_have_are_refused(key, value):
    with pytest.raises(OnboardingError, match=rf"{key} {value} must be from \d+ to 86400 \(crdb_app_{key}\)"):
        app_of(BASE, "psycopg2", **{key: value})
