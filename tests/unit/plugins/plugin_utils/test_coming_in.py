# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a connection comes in: pasted, typed or from the environment, with or without a CA."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.controller_paths import ControllerPaths
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import answers, connections, written
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import connection_facts, source
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import (
    InvalidConnectionError,
    parse_url,
    pasted_url,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.memory import Memory

HOST = "funky-skunk-123.abc.cockroachlabs.cloud"
SERVERLESS = f"postgresql://max:s3cret-canary@{HOST}:26257/bank?sslmode=verify-full"
DEDICATED = "postgresql://max:s3cret-canary@shop-xyz.aws-us-east-1.cockroachlabs.cloud:26257/bank?sslmode=verify-full"
LOCAL = "postgresql://max:s3cret-canary@localhost:26257/bank?sslmode=verify-full&options=--cluster%3Dfunky-skunk-123"
OWN = "postgresql://max:s3cret-canary@db.example.com:26257/bank?sslmode=verify-full"
CLUSTER_ID = "9a3ee8ec-5c2f-4c5e-9e3a-0f3b8a5a0c11"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("COCKROACH_URL", "DATABASE_URL", "PGPASSWORD", "COCKROACH_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(answers, "_memory", Memory("answers of a test", 64 * 1024))


class TestPasted:
    @pytest.mark.parametrize(
        "text",
        [
            SERVERLESS,
            f"  {SERVERLESS}\n",
            f'"{SERVERLESS}"',
            f"'{SERVERLESS}'",
            f"\u201c{SERVERLESS}\u201d",
            f"'{SERVERLESS}",
            f'{SERVERLESS}"',
            f"`{SERVERLESS}`",
            f"<{SERVERLESS}>",
            f"\ufeff{SERVERLESS}\u200b",
            f"\u00a0{SERVERLESS}\u00a0",
            SERVERLESS.replace("@", "\u200b@"),
            SERVERLESS.replace("?", "\n?"),
            SERVERLESS.replace("?", "\r\n   ?"),
            SERVERLESS.replace("?", "\\\n  ?"),
            f'cockroach sql --url "{SERVERLESS}"',
            f"cockroach sql --url '{SERVERLESS}'",
            f"cockroach sql --url={SERVERLESS}",
            f"$ cockroach sql \\\n  --url '{SERVERLESS}'",
            f"cockroach-sql --url '{SERVERLESS}';",
            f'psql "{SERVERLESS}"',
            f"psql -d {SERVERLESS}",
            f"DATABASE_URL={SERVERLESS}",
            f"export DATABASE_URL='{SERVERLESS}'",
            f'$env:DATABASE_URL = "{SERVERLESS}"',
        ],
    )
    def test_what_surrounds_it_is_left_out(self, text):
        assert pasted_url(text) == SERVERLESS

    @pytest.mark.parametrize(
        "placeholder",
        [
            "<ENTER-SQL-USER-PASSWORD>",
            "%3CENTER-SQL-USER-PASSWORD%3E",
            "<password>",
            "{password}",
            "$PASSWORD",
            "${PASSWORD}",
            "$PGPASSWORD",
            "****",
            "********",
            "\u2022\u2022\u2022\u2022\u2022\u2022",
        ],
    )
    @pytest.mark.parametrize("form", ["{}", 'cockroach sql --url "{}"'])
    def test_a_placeholder_is_no_password(self, placeholder, form):
        value = parse_url(pasted_url(form.format(SERVERLESS.replace("s3cret-canary", placeholder))))
        assert value.password is None
        assert value == parse_url(SERVERLESS.replace(":s3cret-canary", ""))

    def test_a_placeholder_in_the_query_of_jdbc_is_no_password(self):
        text = f"jdbc:postgresql://{HOST}:26257/bank?user=max&password=<ENTER-SQL-USER-PASSWORD>&sslmode=verify-full"
        assert parse_url(pasted_url(text)) == parse_url(SERVERLESS.replace(":s3cret-canary", ""))

    @pytest.mark.parametrize("password", ["$ecret", "p%2Aass", "x****", "{}", "my%3Cpassword%3E"])
    def test_a_password_that_only_resembles_one_is_kept(self, password):
        url = SERVERLESS.replace("s3cret-canary", password)
        assert pasted_url(url) == url

    @pytest.mark.parametrize("gap", [" ", "\n", ", ", ""])
    def test_two_strings_are_refused_without_showing_them(self, gap):
        with pytest.raises(InvalidConnectionError, match="two connection strings") as caught:
            pasted_url(f"{SERVERLESS}{gap}{DEDICATED}")
        assert "s3cret-canary" not in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        [
            f'cockroach sql --certs-dir=certs --url "{SERVERLESS}"',
            f"my string is {SERVERLESS}",
            f"psql '{SERVERLESS}' -c 'select 1'",
            f"{SERVERLESS} and more",
        ],
    )
    def test_what_would_be_lost_is_refused(self, text):
        with pytest.raises(InvalidConnectionError) as caught:
            parse_url(pasted_url(text))
        assert "s3cret-canary" not in str(caught.value)

    def test_every_connection_string_is_cleaned(self):
        assert source("db", {"url": f'psql "{SERVERLESS}"'}).connection.password == "s3cret-canary"


class TestTheCaOfAServerlessCluster:
    @pytest.mark.parametrize(
        "named", ["", "&sslrootcert=$HOME/.postgresql/root.crt", "&sslrootcert=%24%7BHOME%7D%2F.postgresql%2Froot.crt",
                  "&sslrootcert=~/.postgresql/root.crt"],
    )  # fmt: skip
    def test_of_the_cloud_is_the_public_one(self, named):
        it = source("default", {"url": SERVERLESS + named})
        assert it.destinations == ("root_crt",)
        assert it.found_by_clients
        assert it.connection.sslrootcert is None
        subjects = [authority.subject for authority in authorities.load(it.ca)]
        assert any("CN=ISRG Root X1" in subject for subject in subjects)
        assert authorities.is_public(authorities.load(it.ca))

    def test_is_the_given_one_where_one_is_given(self):
        assert source("db", {"url": SERVERLESS, "ca_file": "/ca.crt"}).ca.kind == "ca_file"
        assert source("db", {"url": f"{SERVERLESS}&sslrootcert=/etc/ca.crt"}).ca is None

    def test_a_bundle_without_it_names_the_cure(self, monkeypatch, tmp_path):
        (tmp_path / "none.pem").write_text("")
        monkeypatch.setattr(authorities.certifi, "where", lambda: str(tmp_path / "none.pem"))
        authorities.cloud_authorities.cache_clear()
        try:
            with pytest.raises(OnboardingError, match="crdb_connection_ca_cluster_id"):
                authorities.load(source("default", {"url": SERVERLESS}).ca)
        finally:
            authorities.cloud_authorities.cache_clear()

    def test_elsewhere_may_be_on_the_host(self):
        assert source("db", {"url": LOCAL}).ca is None

    @pytest.mark.parametrize(
        "text",
        [
            CLUSTER_ID,
            CLUSTER_ID.upper(),
            f"https://cockroachlabs.cloud/clusters/{CLUSTER_ID}/cert",
            f"curl --create-dirs -o $HOME/.postgresql/root.crt 'https://cockroachlabs.cloud/clusters/{CLUSTER_ID}/cert'",
        ],
    )
    def test_is_downloaded_by_the_cluster_id(self, text):
        site = {"url": "https://localhost:1/", "ca_file": "/site-ca.crt"}
        ca = source("db", {"url": LOCAL, "ca_cluster_id": text}, cloud=site).ca
        assert (ca.value, ca.download_ca) == (f"https://localhost:1/clusters/{CLUSTER_ID}/cert", "/site-ca.crt")
        ca = source("db", {"url": DEDICATED, "ca_cluster_id": text}).ca
        assert (ca.value, ca.download_ca) == (f"https://cockroachlabs.cloud/clusters/{CLUSTER_ID}/cert", "")

    def test_an_id_that_is_none_is_refused(self):
        with pytest.raises(OnboardingError, match=r"crdb_connection_ca_cluster_id: 'funky-skunk-123' is not the id"):
            source("default", {"url": LOCAL, "ca_cluster_id": "funky-skunk-123"})


class Person:
    """Answers questions in turn, and keeps them."""

    def __init__(self, *typed):
        self.typed = list(typed)
        self.asked = []

    def __call__(self, question):
        self.asked.append(question)
        return self.typed.pop(0)


class TestAsking:
    def test_a_wrong_answer_is_asked_for_again_with_its_reason(self):
        person = Person("postgresql://max:s3cret-canary@", f"{SERVERLESS} {DEDICATED}", f"'{SERVERLESS}'")
        assert source("default", connection_facts({}, prompt=person)["default"]).connection.database == "bank"
        assert "the host is missing" in person.asked[1]
        assert "Attempt 2 of 3" in person.asked[1]
        assert "two connection strings" in person.asked[2]
        assert "s3cret-canary" not in "".join(person.asked)

    def test_three_times_at_most_and_once_for_all_hosts(self):
        person = Person("a", "b", "c", "d", "e", "f")
        for _host in range(2):
            with pytest.raises(OnboardingError, match="the connection string: the URL does not begin with a scheme"):
                connection_facts({}, prompt=person)
        assert len(person.asked) == 3

    def test_the_rest_of_the_run_knows_the_answer(self):
        connection_facts({}, prompt=Person(SERVERLESS))
        assert connection_facts({}) == {"default": {"url": SERVERLESS}}
        assert connections.is_given({})

    def test_a_password_that_cannot_be_one(self):
        it = source("default", {"url": SERVERLESS.replace(":s3cret-canary", "")})
        person = Person("<password>", "real")
        assert connections.with_password(it, prompt=person).connection.password == "real"
        assert "placeholder" in person.asked[1]

    def test_the_ca_by_a_path(self, tmp_path, monkeypatch):
        monkeypatch.setattr(authorities, "load", lambda source: ())
        (tmp_path / "ca.crt").write_text("x")
        person = Person("not a file", str(tmp_path / "ca.crt"))
        assert source("default", {"url": OWN}, prompt=person).ca.value == str(tmp_path / "ca.crt")
        assert "neither the id of a cluster" in person.asked[1]
        assert source("default", {"url": OWN}).ca.value == str(tmp_path / "ca.crt")

    def test_the_ca_by_the_cluster_id(self, monkeypatch):
        monkeypatch.setattr(authorities, "load", lambda source: ())
        assert source("default", {"url": DEDICATED}, prompt=Person(CLUSTER_ID)).ca.kind == "ca_cluster_id"

    def test_a_ca_that_cannot_be_downloaded_is_asked_for_again(self):
        person = Person(CLUSTER_ID, "")
        site = {"url": "https://localhost:1"}
        assert source("default", {"url": LOCAL}, cloud=site, prompt=person).ca is None
        assert "cannot be downloaded" in person.asked[1]

    def test_variables_without_an_address_are_no_connection(self):
        assert connection_facts({"default": {}}, prompt=Person(SERVERLESS)) == {"default": {"url": SERVERLESS}}

    def test_nobody_is_asked_for_the_public_one(self):
        assert source("default", {"url": SERVERLESS}, prompt=pytest.fail).ca.kind == "public"


class TestErrorsNameWhatWasTyped:
    @pytest.mark.parametrize("variable", ["COCKROACH_URL", "DATABASE_URL"])
    def test_the_variable_of_the_environment(self, monkeypatch, variable):
        monkeypatch.setenv(variable, OWN.replace("verify-full", "require"))
        facts = connection_facts({})["default"]
        with pytest.raises(OnboardingError, match=f"^{variable}: sslmode 'require' is weaker"):
            source("default", facts, url=connections.url_label({}))

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            ({"host": "a b", "user": "max"}, "crdb_connection_host: the host 'a b' is not"),
            ({"host": "db.example.com"}, "crdb_connection_user: the user is missing"),
            ({"url": OWN, "port": "many"}, "crdb_connection_port: "),
            ({"url": OWN.replace("verify-full", "require")}, "crdb_connection_url: sslmode"),
            ({"url": OWN}, "Set crdb_connection_ca_file, crdb_connection_ca_url or crdb_connection_ca_text, or "),
            ({"url": DEDICATED}, "or crdb_connection_ca_cluster_id, or crdb_connection_sslrootcert"),
            ({"url": OWN, "ca_file": "a", "ca_text": "b"}, "has crdb_connection_ca_file and crdb_connection_ca_text"),
            ({"url": OWN, "ca_fingerprint": "a"}, "crdb_connection_ca_fingerprint: must be"),
        ],
    )
    def test_variables(self, facts, message):
        with pytest.raises(OnboardingError) as caught:
            source("default", facts)
        assert message in str(caught.value)
        assert "connections.default" not in str(caught.value)

    def test_a_missing_password(self):
        with pytest.raises(OnboardingError, match=r"^the SQL user max has no password\. Set crdb_connection_password"):
            connections.with_password(source("default", {"url": SERVERLESS.replace(":s3cret-canary", "")}))

    def test_an_entry_of_an_inventory_keeps_its_name(self):
        with pytest.raises(OnboardingError, match=r"^connections\.shop: a self-hosted .*Set ca_file, ca_url or"):
            source("shop", {"url": OWN})


class TestControllerPaths:
    @pytest.fixture
    def folders(self, tmp_path, monkeypatch):
        for name in ("inventory", "playbook/files", "current"):
            (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "current")
        return tmp_path

    def paths(self, folders, inventory="inventory"):
        task = SimpleNamespace(get_search_path=lambda: [str(folders / "playbook")])
        return ControllerPaths.of_task(task, {"inventory_dir": str(folders / inventory) if inventory else None})

    @pytest.mark.parametrize(
        ("existing", "found"),
        [
            (["inventory", "playbook/files", "current"], "inventory"),
            (["playbook/files", "playbook", "current"], "playbook/files"),
            (["playbook", "current"], "playbook"),
            (["current"], "current"),
            ([], "inventory"),
        ],
    )
    def test_the_first_that_exists_else_beside_the_inventory(self, folders, existing, found):
        for name in existing:
            (folders / name / "ca.crt").write_text("")
        assert self.paths(folders).find("ca.crt") == str(folders / found / "ca.crt")

    def test_without_an_inventory_a_new_file_is_made_in_the_current_folder(self, folders):
        assert self.paths(folders, "").find("store.json") == str(folders / "current" / "store.json")

    def test_absolute_paths_and_homes_stay(self, folders, monkeypatch):
        monkeypatch.setenv("HOME", "/home/max")
        assert self.paths(folders).find("~/ca.crt") == "/home/max/ca.crt"
        assert self.paths(folders).find("/ca.crt") == "/ca.crt"
        assert self.paths(folders).find("") == ""

    def test_an_implicit_localhost_has_the_inventory_of_the_run(self, folders):
        (folders / "inventory" / "hosts.yml").write_text("")
        inventory = SimpleNamespace(_sources=[str(folders / "inventory" / "hosts.yml"), "a,b"])
        task = SimpleNamespace(get_search_path=lambda: [])
        paths = ControllerPaths.of_task(task, {"hostvars": SimpleNamespace(_inventory=inventory)})
        assert paths.inventory == (folders / "inventory",)

    def test_every_path_of_the_options_is_found(self, folders):
        given = {
            "password_store": "store.json",
            "connections": {"shop": {"ca_file": "ca.crt", "sslrootcert": "on-the-host.crt"}},
            "cloud": {"api_key_file": "key", "ca_file": "ca.crt"},
        }
        beside = str(folders / "inventory")
        assert self.paths(folders).options(given) == {
            "password_store": f"{beside}/store.json",
            "connections": {"shop": {"ca_file": f"{beside}/ca.crt", "sslrootcert": "on-the-host.crt"}},
            "cloud": {"api_key_file": f"{beside}/key", "ca_file": f"{beside}/ca.crt"},
        }


class TestWritten:
    def record(self, home, *apps):
        files = {}
        for name, folder in apps:
            path = home / folder / ".env"
            path.parent.mkdir(parents=True)
            path.write_text(f"# mine\nDATABASE_URL='{OWN}&application_name={name}'\n")
            keys = {"DATABASE_URL": {"apps": [name]}}
            files[str(path)] = {"format": "dotenv", "keys": keys, "folders": []}
        state = home / ".local/state/crdb-onboard"
        state.mkdir(parents=True)
        (state / "files.json").write_text(json.dumps({"files": files, "folders": []}))

    def test_nothing_was_written(self, tmp_path):
        assert written.find(str(tmp_path)) == []

    def test_every_app_with_its_connection(self, tmp_path):
        self.record(tmp_path, ("shop", "src/shop"), ("app", "crdb-app"))
        options = written.options(written.find(str(tmp_path)))
        assert [entry["name"] for entry in options["apps"]] == ["app", "shop"]
        assert options["connections"]["shop"]["url"].endswith("application_name=shop")

    def test_of_a_folder(self, tmp_path):
        self.record(tmp_path, ("shop", "src/shop"), ("app", "crdb-app"))
        (only,) = written.find(str(tmp_path), [str(tmp_path / "src/shop")])
        assert written.options([only])["connections"].keys() == {"default"}
        assert "s3cret-canary" not in repr(only)

    def test_a_record_that_is_none_is_named(self, tmp_path):
        self.record(tmp_path)
        (tmp_path / ".local/state/crdb-onboard/files.json").write_text("{}")
        with pytest.raises(OnboardingError, match=r"files\.json: what was written cannot be read"):
            written.find(str(tmp_path))
