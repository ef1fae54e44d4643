# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The value itself, and the exact text of each form."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._model import connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection, InvalidConnectionError

RID = "funky-skunk-123"
SNI = "funky-skunk-123.6wr.cockroachlabs.cloud"
FREE = "free-tier5.gcp-europe-west1.cockroachlabs.cloud"
SECRET = "p a!@/é'"
ENCODED = "p%20a%21%40%2F%C3%A9%27"


def serverless(**changes: Any) -> Connection:
    facts: dict[str, Any] = {"deployment": "serverless", "host": FREE, "user": "max", "password": SECRET}
    return Connection(**{**facts, "routing_id": RID, **changes})


def self_hosted(**changes: Any) -> Connection:
    facts: dict[str, Any] = {"deployment": "self_hosted", "host": "db.example.com", "user": "max", "database": "d"}
    return Connection(**{**facts, **changes})


class TestForms:
    def test_url_is_the_guides(self) -> None:
        assert serverless().url() == (
            f"postgresql://max:{ENCODED}@{FREE}:26257/defaultdb?sslmode=verify-full&options=--cluster%3D{RID}"
        )

    def test_url_routed_by_host_name(self) -> None:
        value = serverless(host=SNI, routing_id=None)
        assert value.url() == f"postgresql://max:{ENCODED}@{SNI}:26257/defaultdb?sslmode=verify-full"

    def test_url_routed_by_database(self) -> None:
        value = serverless(routing="database")
        assert value.url() == f"postgresql://max:{ENCODED}@{FREE}:26257/{RID}.defaultdb?sslmode=verify-full"

    def test_url_of_sequelize_6_9(self) -> None:
        value = serverless(routing="database")
        assert value.url(query="ssl") == f"postgresql://max:{ENCODED}@{FREE}:26257/{RID}.defaultdb?ssl=true"
        assert connection.parse_url(value.url(query="ssl")) == value

    def test_url_with_ssl_true_cannot_lose_the_cluster(self) -> None:
        with pytest.raises(InvalidConnectionError, match="use 'database' or 'sni'"):
            serverless().url(query="ssl")

    def test_url_of_typeorm(self) -> None:
        assert serverless().url(query="none") == f"postgresql://max:{ENCODED}@{FREE}:26257/defaultdb"

    def test_url_keeps_the_guides_order_and_ends_with_the_others(self) -> None:
        value = serverless(
            sslrootcert="/a b/ca.crt",
            sslcert="/c",
            sslkey="/k",
            options="-c x=y",
            parameters=[("application_name", "a b")],
        )
        assert value.url().partition("?")[2] == (
            "sslmode=verify-full&sslrootcert=%2Fa%20b%2Fca.crt&sslcert=%2Fc&sslkey=%2Fk"
            f"&options=--cluster%3D{RID}%20-c%20x%3Dy&application_name=a%20b"
        )

    def test_url_with_the_password_masked_or_omitted(self) -> None:
        assert serverless().url(password="masked").startswith(f"postgresql://max:********@{FREE}:26257/")
        assert serverless().url(password="omitted").startswith(f"postgresql://max@{FREE}:26257/")
        # Masked does not tell whether there is a password at all.
        assert serverless(password=None).url(password="masked") == serverless().url(password="masked")

    def test_url_of_an_ipv6_address(self) -> None:
        assert self_hosted(host="2001:DB8:0::7").url() == "postgresql://max@[2001:db8::7]:26257/d?sslmode=verify-full"

    def test_jdbc_url_is_the_guides(self) -> None:
        assert serverless().jdbc_url(sslfactory=True) == (
            f"jdbc:postgresql://{FREE}:26257/defaultdb?user=max&password={ENCODED}&sslmode=verify-full"
            f"&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory&options=--cluster%3D{RID}"
        )

    def test_jdbc_url_names_no_factory_beside_a_ca(self) -> None:
        factory = [("sslfactory", connection.JAVA_SSL_FACTORY)]
        value = self_hosted(sslrootcert="/ca.crt", parameters=factory)
        assert value.jdbc_url(sslfactory=True) == (
            "jdbc:postgresql://db.example.com:26257/d?user=max&sslmode=verify-full&sslrootcert=%2Fca.crt"
        )
        assert (
            self_hosted(parameters=factory).jdbc_url().endswith("&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory")
        )

    def test_a_factory_read_from_jdbc_stays_out_of_the_other_forms(self) -> None:
        value = serverless(parameters=[("sslfactory", connection.JAVA_SSL_FACTORY)])
        assert connection.parse_url(value.jdbc_url()) == value
        for form in (value.url(), value.dsn(), str(value.libpq_environment())):
            assert "sslfactory" not in form

    def test_jdbc_url_writes_plus_and_space_in_hexadecimal(self) -> None:
        assert "password=a%2B%20b&" in self_hosted(password="a+ b").jdbc_url()

    def test_dsn(self) -> None:
        assert serverless(password="a'b\\ c").dsn() == (
            f"host={FREE} port=26257 dbname=defaultdb user=max password='a\\'b\\\\ c' sslmode=verify-full "
            f"options=--cluster={RID}"
        )
        assert " password=******** " in serverless().dsn("masked")
        assert "password" not in serverless().dsn("omitted")

    def test_parameters_form_is_the_consoles(self) -> None:
        assert serverless(parameters=[("connect_timeout", "30")]).parameters_form() == {
            "Host": FREE,
            "Port": "26257",
            "Database": "defaultdb",
            "Username": "max",
            "Password": SECRET,
            "sslmode": "verify-full",
            "options": f"--cluster={RID}",
            "parameters": {"connect_timeout": "30"},
        }
        assert serverless().parameters_form("masked")["Password"] == "********"
        by_certificate = self_hosted(password=None, sslcert="/c.crt", sslkey="/c.key")
        assert "Password" not in by_certificate.parameters_form("masked")
        assert "********" not in by_certificate.url(password="masked")
        assert "Password" not in serverless().parameters_form("omitted")

    def test_libpq_environment(self) -> None:
        assert serverless(parameters=[("application_name", "x")]).libpq_environment() == {
            "PGHOST": FREE,
            "PGPORT": "26257",
            "PGDATABASE": "defaultdb",
            "PGUSER": "max",
            "PGPASSWORD": SECRET,
            "PGSSLMODE": "verify-full",
            "PGOPTIONS": f"--cluster={RID}",
            "PGAPPNAME": "x",
        }
        with pytest.raises(InvalidConnectionError, match="'keepalives' has no PG"):
            serverless(parameters=[("keepalives", "1")]).libpq_environment()

    def test_environment(self) -> None:
        value = serverless()
        assert value.environment() == {"DATABASE_URL": value.url()}
        assert value.environment(jdbc=True) == {"DATABASE_URL": value.url(), "JDBC_DATABASE_URL": value.jdbc_url()}

    def test_client_command(self) -> None:
        url = f"postgresql://max@{SNI}:26257/defaultdb?sslmode=verify-full"
        value = serverless(host=SNI, routing_id=None)
        assert value.client_command() == f"cockroach sql --url '{url}'"
        assert value.client_command("cockroach-sql") == f"cockroach-sql --url '{url}'"

    @pytest.mark.parametrize("form", ["url", "jdbc_url", "dsn", "parameters_form"])
    def test_an_unknown_way_to_show_the_password_is_no_way(self, form: str) -> None:
        with pytest.raises(ValueError, match="encoded, masked and omitted"):
            getattr(serverless(), form)(password="plain")

    def test_unknown_scheme_and_query(self) -> None:
        with pytest.raises(InvalidConnectionError, match="'mysql' is not known"):
            serverless().url("mysql")
        with pytest.raises(ValueError, match="use full, ssl or none"):
            serverless().url(query="some")


class TestRouting:
    @pytest.mark.parametrize(
        ("changes", "effective", "identifier", "database", "options"),
        [
            ({}, "options", RID, "defaultdb", f"--cluster={RID}"),
            ({"options": "-c x=y"}, "options", RID, "defaultdb", f"--cluster={RID} -c x=y"),
            ({"routing": "database", "options": "-c x=y"}, "database", RID, f"{RID}.defaultdb", "-c x=y"),
            ({"host": SNI, "routing": "sni"}, "sni", RID, "defaultdb", None),
            ({"host": SNI, "routing_id": None}, "sni", RID, "defaultdb", None),
            ({"host": f"{RID}.sandbox.test", "routing_id": None}, "sni", RID, "defaultdb", None),
            ({"host": "tick-data-28.blah"}, "options", RID, "defaultdb", f"--cluster={RID}"),
        ],
    )  # fmt: skip
    def test_what_goes_into_the_start_up_message(
        self, changes: dict[str, Any], effective: str, identifier: str, database: str, options: str | None
    ) -> None:
        value = serverless(**changes)
        assert value.effective_routing == effective
        assert value.effective_routing_id == identifier
        assert value.startup_database == database
        assert value.startup_options == options

    def test_others_have_no_routing(self) -> None:
        value = self_hosted(options="-c x=y")
        assert value.effective_routing is None
        assert value.effective_routing_id is None
        assert value.startup_options == "-c x=y"

    def test_server_name(self) -> None:
        assert serverless().server_name == FREE
        assert serverless(host="127.0.0.1").server_name is None
        assert self_hosted(host="::1").server_name is None

    @pytest.mark.parametrize(
        ("host", "routing_id", "deployment"),
        [
            (FREE, None, "serverless"),
            ("anything.example.com", RID, "serverless"),
            (SNI, None, "serverless"),
            ("serverless-101.5xj.gcp-us-central1.cockroachlabs.cloud", None, "serverless"),
            ("free-tier7.crdb.io", None, "serverless"),
            ("blue-dog-5bct.gcp-us-east4.cockroachlabs.cloud", None, "dedicated"),
            ("blue-dog-5bct.cockroachlabs.cloud", None, "dedicated"),
            ("internal-blue-dog-5bct.gcp-us-east4.cockroachlabs.cloud", None, "dedicated"),
            ("old.crdb.io", None, "dedicated"),
            ("funky-skunk-123.example.com", None, "self_hosted"),
            ("cockroachlabs.cloud.example.com", None, "self_hosted"),
            ("evilcockroachlabs.cloud", None, "self_hosted"),
            ("localhost", None, "self_hosted"),
            ("::1", None, "self_hosted"),
        ],
    )
    def test_inferred_deployment(self, host: str, routing_id: str | None, deployment: str) -> None:
        assert connection.infer_deployment(host, routing_id) == deployment

    def test_moving_from_sni_to_a_driver_without_it(self) -> None:
        value = serverless(host=SNI, routing_id=None).replace(routing="database")
        assert value.routing_id == RID
        assert value.startup_database == f"{RID}.defaultdb"


class TestValue:
    def test_the_password_is_in_no_representation(self) -> None:
        value = serverless(password="hunter2hunter2")
        for shown in (repr(value), str(value), f"{value}", format([value])):
            assert "hunter2" not in shown
        assert "host='free-tier5" in repr(value)
        with pytest.raises(TypeError):
            dataclasses.asdict(value)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            vars(value)
        with pytest.raises(TypeError, match="holds a password"):
            pickle.dumps(value)

    def test_parameter_values_are_in_no_representation(self) -> None:
        assert "hunter2" not in repr(serverless(parameters=[("token", "hunter2")]))

    def test_immutable(self) -> None:
        value = serverless()
        with pytest.raises(AttributeError, match=r"use replace\(port=...\)"):
            value.port = 1
        with pytest.raises(AttributeError):
            del value.port
        with pytest.raises(AttributeError):
            value.colour = "red"
        assert copy.deepcopy(value) is copy.copy(value) is value

    def test_equality(self) -> None:
        value = serverless()
        assert value == serverless(routing="options")
        assert value == serverless(user="MAX")
        assert hash(value) == hash(serverless(user="MAX", routing="options"))
        assert value != serverless(routing="database")
        assert value != serverless(password="other")
        assert value != serverless(routing_id="other-cat-7")
        assert value != "postgresql://"
        assert serverless(host=SNI, routing="sni") == serverless(host=SNI, routing_id=None)
        one, two = [("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]
        assert serverless(parameters=one) == serverless(parameters=two)

    def test_replace_validates(self) -> None:
        value = serverless()
        assert value.replace(user="moritz").user == "moritz"
        assert value.user == "max"
        with pytest.raises(InvalidConnectionError, match="weaker"):
            value.replace(sslmode="require")
        with pytest.raises(TypeError):
            value.replace(colour="red")
        with pytest.raises(InvalidConnectionError) as caught:
            self_hosted().replace(options=f"--cluster={RID}")
        assert caught.value.part == "options"

    @pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer", "require", "verify-ca"])
    def test_weaker_tls_is_refused_in_every_form(self, sslmode: str) -> None:
        host, user = "db.example.com", "max"
        url = f"postgresql://{user}@{host}/d?sslmode={sslmode}"
        forms = [
            lambda: connection.parse_url(url),
            lambda: connection.parse_url(f"jdbc:postgresql://{host}/d?user={user}&sslmode={sslmode.upper()}"),
            lambda: connection.parse_dsn(f"host={host} user={user} sslmode={sslmode}"),
            lambda: connection.parse_parameters({"Host": host, "Username": user, "SSLMode": sslmode}),
            lambda: connection.parse_environment({"PGHOST": host, "PGUSER": user, "PGSSLMODE": sslmode}),
            lambda: connection.parse_service(f"[s]\nhost={host}\nuser={user}\nsslmode={sslmode}\n", "s"),
            lambda: connection.resolve({"host": host, "user": user, "sslmode": sslmode}),
            lambda: connection.resolve({"url": url}),
            lambda: Connection(deployment="self_hosted", host=host, user=user, sslmode=sslmode),
        ]
        for form in forms:
            with pytest.raises(InvalidConnectionError) as caught:
                form()
            assert caught.value.part == "sslmode"
            assert f"sslmode {sslmode!r} is weaker than verify-full" in str(caught.value)
            assert "Use verify-full" in str(caught.value)

    @pytest.mark.parametrize("reader", ["parse_url", "parse_dsn", "parse_parameters", "parse_environment", "resolve"])
    def test_no_argument_allows_weaker_tls(self, reader: str) -> None:
        assert not [name for name in inspect.signature(getattr(connection, reader)).parameters if "tls" in name]

    def test_channel_binding_where_no_proxy_ends_tls(self) -> None:
        assert self_hosted(parameters=[("channel_binding", "require")]).parameters == (("channel_binding", "require"),)

    def test_secrets(self) -> None:
        secrets = serverless(password="a b+/é'").secrets()
        assert {"a b+/é'", "a%20b%2B%2F%C3%A9%27", "a%20b%2b%2f%c3%a9%27", "a+b%2B%2F%C3%A9%27"} <= set(secrets)
        assert {"a b+/\\u00e9'", "a b+/é\\'", "YSBiKy/DqSc="} <= set(secrets)
        assert list(secrets) == sorted(secrets, key=lambda one: (-len(one), one))
        assert serverless(password=None).secrets() == ()

    def test_an_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(InvalidConnectionError("host", "wrong.")))  # noqa: S301
        assert (error.part, str(error)) == ("host", "wrong.")


def _pythons() -> list[tuple[str, str]]:
    """Version and interpreter of those that targets run: on the PATH, or installed by pyenv."""
    pyenv = shutil.which("pyenv")
    root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip() if pyenv else ""
    found = []
    for version in ("3.9", "3.10", "3.11", "3.12", "3.13"):
        installed = sorted(Path(root, "versions").glob(f"{version}.*/bin/python")) if root else []
        python = str(installed[-1]) if installed else shutil.which(f"python{version}")
        found += [(version, python)] if python else []
    return found


@pytest.mark.parametrize("python", [pytest.param(path, id=version) for version, path in _pythons()])
def test_the_table_on_every_python_of_a_target(python: str) -> None:
    script = Path(__file__).with_name("test_connection_table.py")
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout
