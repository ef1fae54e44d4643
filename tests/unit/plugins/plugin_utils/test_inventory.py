# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data model: what is understood, and what is refused before anything changes."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import read_all
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import answers, schema, shorthand
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import app_entries, placed
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import apps as parse_apps
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import (
    connection_facts,
    source,
    with_password,
)

URL = "postgresql://max:s3cret-canary@db.example.com:26257/bank?sslmode=verify-full"
CATALOGUE = frameworks.load()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("COCKROACH_URL", "DATABASE_URL", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)


def sources(**facts):
    return {"db": source("db", {"url": URL, "ca_file": "/ca.crt", **facts})}


def apps(*given, **facts):
    return parse_apps(app_entries(given), sources(**facts), CATALOGUE)


class TestConnections:
    def test_the_environment_comes_before_asking(self, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", URL)
        assert connection_facts({}, prompt=pytest.fail) == {"default": {"url": URL}}

    def test_keys_without_an_address_go_with_the_environments_string(self, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", URL)
        facts = {"default": {"ca_file": "/ca.crt", "ca_public": False}}
        assert connection_facts(facts) == {"default": {"ca_file": "/ca.crt", "ca_public": False, "url": URL}}

    def test_no_connection_names_the_environment_variables(self):
        with pytest.raises(OnboardingError, match=r"There is no connection\..* COCKROACH_URL or DATABASE_URL"):
            connection_facts({})

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            ("postgresql://", "connections.db: must be a dictionary with the keys ca_cluster_id"),
            ({"url": URL}, "a self-hosted cluster has a CA of its own"),
            (
                {"url": URL, "ca_file": "/a", "ca_text": "b"},
                "has ca_file and ca_text, but a connection has one CA",
            ),
            (
                {"url": URL, "ca_file": "/a", "ca_destination": "home"},
                "must be one of: auto, certs, root_crt, both",
            ),
            (
                {"url": URL, "ca_file": "/a", "ca_public": "perhaps"},
                "connections.db: argument 'ca_public' is of type str and we were unable to convert to bool",
            ),
            ({"url": URL, "ca_file": "/a", "prot": 1}, "connections.db: unknown key: prot. Did you mean port?"),
            ({"url": URL.replace("db.example.com", ""), "ca_file": "/a"}, "host"),
            ({"url": URL.replace("verify-full", "require"), "ca_file": "/a"}, "sslmode"),
            ({"url": URL, "user": "moritz", "ca_file": "/a"}, "user"),
        ],
    )
    def test_refused(self, facts, message):
        with pytest.raises(OnboardingError) as caught:
            source("db", facts)
        assert message in str(caught.value)
        assert "s3cret-canary" not in str(caught.value)

    @pytest.mark.parametrize(
        ("facts", "places"),
        [
            ({}, ("certs",)),
            ({"ca_public": True}, ("root_crt",)),
            ({"ca_public": "yes"}, ("root_crt",)),
            ({"ca_destination": "both"}, ("certs", "root_crt")),
            ({"ca_destination": "root_crt"}, ("root_crt",)),
            ({"ca_public": True, "ca_destination": "certs"}, ("certs",)),
        ],
    )
    def test_where_the_ca_goes(self, facts, places):
        assert sources(**facts)["db"].destinations == places

    def test_a_password_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", "from-environment")
        without = source("db", {"url": URL.replace(":s3cret-canary", ""), "ca_file": "/a"})
        assert with_password(without).connection.password == "from-environment"

    def test_a_client_certificate_needs_no_password(self):
        facts = {"url": URL.replace(":s3cret-canary", ""), "ca_file": "/a", "sslcert": "/c", "sslkey": "/k"}
        certified = source("db", facts)
        assert with_password(certified) is certified


class TestApps:
    def test_defaults(self):
        (app,) = apps({})
        assert (app.name, app.folder, app.user, app.frameworks) == ("crdb-app", "~/crdb-app", "", ())
        assert app.environment_file == ".env"

    def test_frameworks_as_text(self):
        (app,) = apps({"frameworks": "django, node-postgres,django"})
        assert [framework.name for framework in app.frameworks] == ["django", "node-postgres"]

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            ("app", "apps entry 1: must be a dictionary"),
            ({"name": "a b"}, "name 'a b' must consist of letters, digits"),
            (
                {"framework": "django"},
                "unknown key: framework. Did you mean frameworks? The keys are connect",
            ),
            ({"connection": "other"}, "there is no connection 'other'. The connections are db."),
            ({"folder": "srv/app"}, "must be an absolute path"),
            ({"folder": "/srv/a\nb"}, "cannot be printed"),
            ({"user": "a; reboot"}, "is not a valid system user name"),
            ({"environment_file": "../.env"}, "must not contain '..'"),
            ({"environment_file": "a/"}, "must be a file inside"),
            ({"environment_file": "."}, "must be a file inside"),
            ({"environment_file": "~/.env"}, "must be a file inside"),
            ({"environment_file": ".e\u202env"}, "cannot be printed"),
            ({"folder": "/srv/../etc"}, "must not contain '..'"),
            ({"environment_file": "/etc/environment"}, "must be a file inside"),
            (
                {"frameworks": ["djanga"]},
                f"Did you mean django? The frameworks are {', '.join(CATALOGUE)}.",
            ),
            ({"frameworks": [5]}, "There is no framework 5"),
        ],
    )
    def test_refused(self, facts, message):
        with pytest.raises(OnboardingError) as caught:
            apps(facts)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            ({"name": "one", "folder": "/b"}, "same name"),
            ({"name": "two", "folder": "/a/"}, "same folder"),
            ({"name": "two", "folder": "/b", "psql_service": "db"}, "same psql_service"),
            ({"name": "two", "folder": "/b", "psql_service": "d]b"}, "psql_service 'd]b'"),
        ],
    )
    def test_two_apps_do_not_share(self, second, message):
        with pytest.raises(OnboardingError, match=message):
            apps({"name": "one", "folder": "/a", "psql_service": "db"}, second)

    def test_apps_without_a_service_of_psql_share_none(self):
        assert [app.psql_service for app in apps({"name": "one", "folder": "/a"}, {"name": "two", "folder": "/b"})] == [
            "",
            "",
        ]

    def test_one_app_and_several_connections_must_be_told_apart(self):
        two = {**sources(), "other": sources()["db"]}
        with pytest.raises(OnboardingError, match=r"2 connections \(db, other\): set the connection of the app"):
            parse_apps(app_entries(None), two, CATALOGUE)

    def test_a_routing_that_the_framework_cannot_do(self):
        facts = {"url": URL, "deployment": "serverless", "routing_id": "funky-skunk-1", "routing": "options"}
        wanted = [{"frameworks": [{"name": "sequelize", "version": "6.9.0"}]}]
        with pytest.raises(
            OnboardingError, match="Sequelize cannot name a Serverless cluster by options; it can by data"
        ):
            parse_apps(app_entries(wanted), {"db": source("db", facts)}, CATALOGUE)

    def test_automatic_routing_takes_one_that_the_framework_can_do(self):
        serverless = source("db", {"url": URL, "deployment": "serverless", "routing_id": "funky-skunk-1"})
        for version, routing in (("6.9.0", "database"), ("6.10.0", "options")):
            wanted = [{"frameworks": [{"name": "sequelize", "version": version}]}]
            (app,) = parse_apps(app_entries(wanted), {"db": serverless}, CATALOGUE)
            assert app.connection_for(app.frameworks[0]).effective_routing == routing

    @pytest.mark.parametrize(
        ("facts", "path"),
        [
            ({}, "/srv/app/certs/ca.crt"),
            ({"ca_public": True}, "/home/max/.postgresql/root.crt"),
            ({"ca_destination": "both"}, "/srv/app/certs/ca.crt"),
            ({"ca_file": None, "url": URL + "&sslrootcert=~%2Fmy.crt"}, "/home/max/my.crt"),
            ({"ca_file": None, "url": URL + "&sslrootcert=%2Fetc%2Fmy.crt"}, "/etc/my.crt"),
            (
                {"ca_file": None, "deployment": "serverless", "routing_id": "funky-skunk-1"},
                "/home/max/.postgresql/root.crt",
            ),
        ],
    )
    def test_the_path_of_the_ca(self, facts, path):
        (app,) = apps({"folder": "/srv/app"}, **facts)
        assert app.ca_path("/srv/app", "/home/max") == path


class TestAnswers:
    def test_an_answer_of_one_process_is_known_to_the_next(self):
        import multiprocessing

        context = multiprocessing.get_context("fork")
        child = context.Process(target=answers.ask_once, args=("name of the test", lambda: "t\u00f6ld"))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert answers.ask_once("name of the test", lambda: pytest.fail("asked again")) == "t\u00f6ld"
        with pytest.raises(OnboardingError, match="too long"):
            answers.ask_once("another", lambda: "x" * 70000)
        assert answers.get("another") is None


CERTIFICATES = {"sslcert": "/c/client.max.crt", "sslkey": "/c/client.max.key"}


class TestFrameworks:
    """How a framework is declared: by name, or with a version, a variant and the password's place."""

    @pytest.mark.parametrize(
        ("version", "versions"),
        [
            (None, ">=6.10,<7"),
            ("6.10", ">=6.10,<7"),
            ("6.10.0", ">=6.10,<7"),
            ("v6.37.7", ">=6.10,<7"),
            ("6.10.0-beta.1", ">=6.10,<7"),
            ("6.9", ">=5,<6.10"),
            ("6.9.999", ">=5,<6.10"),
            ("6.2.0", ">=5,<6.10"),
            ("5", ">=5,<6.10"),
        ],
    )
    def test_versions_are_compared_as_versions(self, version, versions):
        (app,) = apps({"frameworks": [{"name": "sequelize", "version": version}]})
        assert app.frameworks[0].versions == versions

    @pytest.mark.parametrize(
        ("entry", "facts", "message"),
        [
            (
                {"name": "sequelize", "version": "4.0.0"},
                {},
                "is outside the supported ranges: >=6.10,<7 and >=5,<6.10",
            ),
            ({"name": "sequelize", "version": "6"}, {}, "6 could be in more than one range"),
            ({"name": "sequelize", "version": 6.1}, {}, "must be quoted: as numbers, 6.10 and 6.1 are the same"),
            (
                {"name": "sequelize", "version": "newest"},
                {},
                "version must be a full version such as 6.10.0, not 'newest'",
            ),
            (
                {"name": "typeorm", "version": "0.2.45", "variant": "toml"},
                {},
                "The variants are: js, ts, json, yml, env, xml",
            ),
            (
                {"name": "django", "variant": "json"},
                {},
                "there is no variant 'json' for >=5,<6. The variants are: none",
            ),
            ({"name": "django", "password_place": "vault"}, {}, "password_place 'vault' must be one of env, inline"),
            (
                {"name": "jdbc", "variant": "properties", "password_place": "env"},
                {},
                "password_place cannot be env. Use inline",
            ),
            (
                {"name": "django", "colour": "red"},
                {},
                "unknown key: colour. The keys of an entry are name, version, variant",
            ),
            (
                {"name": "typeorm", "version": "0.2.45", "variant": "yml"},
                CERTIFICATES,
                "typeorm (>=0.2,<0.3) yml cannot present a client certificate, which the connection db has. It can as:",
            ),
            (
                {"name": "typeorm", "version": "0.2.45", "variant": "json"},
                {"ca_file": None, "url": URL + "&sslrootcert=%2Fmy.crt"},
                "holds the text of the CA: give the connection db ca_file, ca_url",
            ),
        ],
    )
    def test_refused_with_the_choices(self, entry, facts, message):
        with pytest.raises(OnboardingError) as caught:
            apps({"frameworks": [entry]}, **facts)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("frameworks", "message"),
        [
            (["django", {"name": "django", "password_place": "inline"}], "django is listed twice"),
            (["psycopg2", "activerecord"], "need different values of DATABASE_URL in .env"),
            ([{"name": "typeorm", "version": "1.1.1"}, "node-postgres"], None),
            (["django", "django"], None),
            ("psycopg2, django", None),
        ],
    )
    def test_several_in_one_app(self, frameworks, message):
        if message is None:
            assert apps({"frameworks": frameworks})
            return
        with pytest.raises(OnboardingError) as caught:
            apps({"frameworks": frameworks})
        assert message in str(caught.value)

    def test_the_apps_place_is_taken_where_the_framework_can(self):
        (app,) = apps(
            {"password_place": "inline", "frameworks": ["django", {"name": "psycopg2", "password_place": "env"}]}
        )
        assert [framework.place for framework in app.frameworks] == ["inline", "env"]

    def test_java_is_given_the_key_in_pkcs8(self):
        (app,) = apps({"frameworks": ["jdbc", "psycopg2"]}, **CERTIFICATES)
        assert [app.connection_for(f).sslkey for f in app.frameworks] == ["/c/client.max.key.pk8", "/c/client.max.key"]


SERVERLESS = {"deployment": "serverless", "routing_id": "funky-skunk-1"}
CLOUD = {"url": URL.replace("db.example.com", "free-tier.gcp-us-central1.cockroachlabs.cloud"), **SERVERLESS}


class TestHowTheCaIsFound:
    """The guide's form where the CA is public, else its path."""

    @pytest.mark.parametrize(
        ("facts", "app", "found"),
        [
            ({}, {}, ["none", "none", "none"]),
            ({"ca_public": True}, {}, ["libpq_default", "own_roots", "trust_store"]),
            ({"ca_public": True, "ca_destination": "both"}, {}, ["libpq_default", "own_roots", "trust_store"]),
            ({"ca_public": True, "ca_destination": "certs"}, {}, ["none", "none", "none"]),
            ({"ca_file": None, **CLOUD}, {}, ["libpq_default", "own_roots", "trust_store"]),
            ({"ca_file": None, **SERVERLESS}, {}, ["none", "none", "none"]),
            ({"ca_file": None, "url": URL + "&sslrootcert=%2Fmy.crt", "ca_public": True}, {}, ["none", "none", "none"]),
            ({"ca_public": True, **CERTIFICATES}, {}, ["libpq_default", "own_roots", "none"]),
            ({}, {"trust_store": True}, ["none", "none", "trust_store"]),
        ],
    )
    def test_by_framework(self, facts, app, found):
        (made,) = apps({"frameworks": ["psycopg2", "node-postgres", "jdbc"], **app}, **facts)
        assert [made.ca_found_by(framework) for framework in made.frameworks] == found
        for framework, how in zip(made.frameworks, found, strict=True):
            connection = made.trusting(framework, "/srv/ca.crt")
            assert connection.sslrootcert == ("/srv/ca.crt" if how == "none" else None)
            assert ("DefaultJavaSSLFactory" in connection.jdbc_url()) == (how == "trust_store")

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            (
                {"ca_file": None, "url": URL + "&sslrootcert=%2Fmy.crt"},
                "give it ca_file, ca_url, ca_text or ca_cluster_id",
            ),
            (CERTIFICATES, "jdbc datasource presents no client certificate"),
        ],
    )
    def test_a_trust_store_that_cannot_be(self, facts, message):
        with pytest.raises(OnboardingError) as caught:
            apps({"frameworks": ["jdbc"], "trust_store": True}, **facts)
        assert message in str(caught.value)


def test_samples_are_as_the_app_says_else_as_all_of_them():
    given = [{"name": "one", "folder": "/1", "samples": False}, {"name": "two", "folder": "/2"}]
    assert [app.samples for app in parse_apps(app_entries(given, samples=True), sources(), CATALOGUE)] == [False, True]


class TestWithoutAHome:
    def app(self, **facts):
        (found,) = apps({"name": "x", "user": "shop", "folder": "/srv/x", "frameworks": ["psycopg2"]}, **facts)
        return found

    def test_a_public_ca_goes_beside_the_app_and_is_named_by_its_path(self):
        public = self.app(ca_public=True)
        assert public.ca_path("/srv/x", "/home/shop") == "/home/shop/.postgresql/root.crt"
        moved = placed(public, "")
        assert moved.ca_path("/srv/x", "") == "/srv/x/certs/ca.crt"
        assert moved.ca_found_by(moved.frameworks[0]) == "none"
        assert placed(public, "/home/shop") == public

    @pytest.mark.parametrize("destination", ["root_crt", "both"])
    def test_a_destination_that_was_asked_for_and_is_not_there_is_refused(self, destination):
        found = placed(self.app(ca_destination=destination), "")
        with pytest.raises(OnboardingError, match="shop has no home folder of its own on this host, so there is no"):
            found.ca_path("/srv/x", "", "root_crt")

    def test_the_hosts_own_ca_is_refused_too(self):
        found = self.app(url=URL + "&sslrootcert=~/ca.crt", ca_file=None)
        with pytest.raises(OnboardingError, match="shop has no home folder"):
            found.ca_path("/srv/x", "")


def test_apps_are_validated_again_only_when_their_projects_differ():
    entry = {"name": "shop", "folder": "/srv/shop", "frameworks": ["node-postgres"]}
    inventory = HostInventory({"connections": {"db": {"url": URL, "ca_file": "/ca.crt"}}, "apps": [entry]})
    first = inventory.apps
    inventory.in_projects({"shop": {}})
    assert inventory.apps is first
    answer = {"javascript": {"facts": {"modules": "esm"}, "versions": {}, "sources": {}}}
    inventory.in_projects({"shop": read_all(answer)})
    in_project = inventory.apps
    assert in_project is not first
    inventory.in_projects({"shop": read_all(answer)})
    assert inventory.apps is in_project


class Variables:
    """A host's variables, as the lookup `inputs` reads them."""

    def __init__(self, **values):
        self.values = values

    def read(self, option, prefix, declared=(), *, whole="", **more):
        options = {"also": {}, "every": [], "values": {}, "reserved": [], **more}
        inputs = shorthand.Inputs(
            list(self.values), self.values.__getitem__, {option: prefix}, {option: whole} if whole else {},
            declared=declared, entries_of=lambda name, keys: self.values[name], **options,
        )  # fmt: skip
        return inputs.read(option)


class TestShorthand:
    def connections(self, **values):
        declared = ("crdb_connection_ask", "crdb_connection_result")
        return Variables(**values).read("connections", "crdb_connection_", declared, whole="crdb_connections")

    def test_variables_make_one_connection(self):
        values = {"crdb_connection_url": URL, "crdb_connection_ca_file": "/ca.crt", "crdb_connection_port": ""}
        assert self.connections(**values) == {"default": {"url": URL, "ca_file": "/ca.crt"}}

    def test_role_options_and_results_are_no_facts(self):
        values = {"crdb_connection_url": URL, "crdb_connection_ask": True, "crdb_connection_result": {}}
        assert self.connections(**values) == {"default": {"url": URL}}

    def test_nothing_makes_nothing(self):
        assert self.connections() == {}
        assert Variables().read("cloud", "crdb_cloud_") == {}
        assert Variables().read("apps", "crdb_app_") is None

    def test_both_ways_at_once_are_refused(self):
        with pytest.raises(OnboardingError, match="crdb_connections and crdb_connection_port are both set"):
            self.connections(crdb_connections={"a": {}}, crdb_connection_port=5)

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [("crdb_connection_databse", "crdb_connection_database"), ("crdb_connection_aks", "crdb_connection_ask")],
    )
    def test_a_mistyped_name_is_refused_with_the_nearest(self, name, nearest):
        with pytest.raises(OnboardingError, match=rf"no variable {name}\. Did you mean {nearest}\?"):
            self.connections(**{name: "shop"})

    def test_a_mistyped_name_of_another_role_too(self):
        with pytest.raises(OnboardingError, match=r"no variable crdb_check_diver\. Did you mean crdb_check_drivers\?"):
            Variables(crdb_check_diver=True).read(
                "connections", "crdb_connection_", ["crdb_check_drivers"], reserved=["crdb_check_"]
            )

    def test_apps(self):
        def read(**values):
            also = {"frameworks": "crdb_frameworks"}
            return Variables(**values).read("apps", "crdb_app_", whole="crdb_apps", also=also, every=["samples"])

        assert read(crdb_app_folder="/a", crdb_frameworks="django") == [{"folder": "/a", "frameworks": "django"}]
        listed = [{"name": "one"}, {"name": "two", "samples": False}]
        assert read(crdb_apps=listed, crdb_app_samples=True) == [{"samples": True, **entry} for entry in listed]
        with pytest.raises(OnboardingError, match=r"no variable crdb_app_fodler\. Did you mean crdb_app_folder\?"):
            read(crdb_app_fodler="/srv/shop")

    def test_a_removal_evaluates_the_apps_only(self):
        evaluated = []

        def inputs(**values):
            def value_of(name):
                evaluated.append(name)
                return values[name]

            prefixes = {"connections": "crdb_connection_", "apps": "crdb_app_", "cloud": "crdb_cloud_"}
            wholes = {"connections": "crdb_connections", "apps": "crdb_apps"}
            return shorthand.Inputs(
                list(values), value_of, prefixes, wholes,
                also={}, every=[], values={"echo": "crdb_network_echo"}, declared=["crdb_network_echo"], reserved=[],
                entries_of=lambda name, keys: value_of(name),
            )  # fmt: skip

        variables = {"crdb_connections": {"a": {}}, "crdb_network_echo": ["x"], "crdb_cloud_url": "u"}
        whole = inputs(**variables, crdb_apps=[{"name": "one"}])
        assert whole.combined("removal") == {"apps": [{"name": "one"}], "complete": True}
        assert evaluated == ["crdb_apps"]
        assert whole.combined("all") == {
            "connections": {"a": {}}, "apps": [{"name": "one"}], "cloud": {"url": "u"}, "complete": True, "echo": ["x"],
        }  # fmt: skip
        assert sorted(evaluated) == sorted(["crdb_apps", "crdb_apps", *variables])
        assert whole.combined("sql") == {"connections": {"a": {}}, "cloud": {"url": "u"}}
        assert inputs(crdb_app_folder="/a").combined("all")["complete"] is False
        for term in ("all", "removal"):
            with pytest.raises(OnboardingError, match=r"no variable crdb_app_fodler\."):
                inputs(crdb_app_fodler="/a").combined(term)

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            (
                "apps",
                "nonsense",
                r"^crdb_apps must be a list of apps, but it is text\. .* -e '\{\"crdb_apps\": ",
            ),
            ("apps", {"name": "shop"}, r"^crdb_apps must be a list of apps, but it is a dictionary"),
            ("connections", [{"host": "h"}], r"^crdb_connections must be a dictionary of .*, but it is a list"),
            ("connections", 5, r"^crdb_connections must be .*, but it is a number"),
        ],
    )
    def test_a_whole_option_of_a_wrong_type_is_refused_by_the_variables_name(self, option, value, message):
        name = f"crdb_{option}"
        with pytest.raises(OnboardingError, match=message):
            Variables(**{name: value}).read(option, f"crdb_{option[:-1]}_", whole=name)


def test_a_value_of_a_wrong_type_is_not_repeated_where_it_may_be_secret():
    with pytest.raises(OnboardingError) as caught:
        schema.validated("connections", {"url": URL, "parameters": "s3cret-canary"}, "connections.db")
    assert "s3cret-canary" not in str(caught.value)


class TestNameAfterTheFolder:
    @pytest.mark.parametrize(
        ("folder", "name"),
        [
            ("~/src/shop", "shop"),
            ("/srv/reports/", "reports"),
            ("~/my projects/Ünser Laden", "nser-Laden"),
            ("~/.config", "config"),
            ("~", "app"),
            ("/", "app"),
            ("/srv/" + "x" * 80, "x" * 63),
        ],
    )
    def test_without_a_name_an_app_is_called_as_its_folder(self, folder, name):
        (app,) = apps({"folder": folder})
        assert app.name == name

    def test_a_given_name_stays(self):
        (app,) = apps({"folder": "~/src/shop", "name": "app"})
        assert app.name == "app"

    def test_two_folders_of_the_same_name_need_names(self):
        with pytest.raises(OnboardingError, match="apps: shop and shop have the same name"):
            apps({"folder": "~/a/shop"}, {"folder": "~/b/shop"})
