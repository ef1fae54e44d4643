# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client and the reconciliation, against the sandbox's API over real HTTPS, with everything that can go wrong."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import allowlist as _allowlist
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import http_client as _http
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.allowlist import DesiredAllowlist
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.cluster import choose
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import CloudError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import unique, validate
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_api as _users
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import Target, user_name

from sandbox.allowlist import Entry
from tests.cloud import KEY, CloudStage, sent

PREFIX = "crdb.onboard "
TODAY = date(2026, 6, 1)
CONTROLLER = "203.0.113.10"


@pytest.fixture(scope="module")
def cloud():
    stage = CloudStage()
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No rate to keep and no pauses: the tests of these set them again."""
    monkeypatch.setattr(_shared, "take_turn", lambda: None)
    monkeypatch.setattr(_http, "_pause", lambda attempt, seconds: None)
    monkeypatch.setattr(_allowlist, "POLL", 0.01)


def client(cloud, **settings):
    return CloudApi(
        Settings(**{"key": KEY, "url": cloud.url, "ca_file": str(cloud.ca_file), "timeout": 5.0, **settings})
    )


def entries(*given):
    return tuple(unique(validate(given, allow_any=True, allow_private=True)))


def wanted(state="present", *given, **more):
    return DesiredAllowlist(state, PREFIX, entries(*given), **{"today": TODAY, **more})


def reconcile(cloud, what, name="funky-skunk", **settings):
    """What the action does with one cluster."""
    api = client(cloud, **settings)
    identifier = cloud.clusters[name].identifier
    todo = _allowlist.plan(_allowlist.read(api.allowlist(identifier)[0]), what)
    _allowlist.Reconciler(api, identifier, name).carry_out(todo, 5.0)
    return todo


def stored(cloud, name="funky-skunk"):
    return {entry.cidr: (entry.name, entry.sql, entry.ui) for entry in cloud.clusters[name].stored.values()}


BEFORE = (
    Entry("0.0.0.0/0", "Default"),
    Entry("203.0.113.0/24", "inside"),
    Entry("198.41.0.9/32", "crdb.onboard ann"),
    Entry("198.41.0.10/32", "crdb.onboard bob"),
)
MOVED = {
    "given": ({"cidr": "198.41.0.20", "name": "ann"}, "198.41.0.21", {"cidr": "198.41.0.10", "name": "bert"}),
    "names": ("ann",),
    "remove_any": True,
}
AFTER = {
    "203.0.113.0/24": ("inside", True, False),
    "198.41.0.10/32": ("crdb.onboard bert", True, False),
    "198.41.0.20/32": ("crdb.onboard ann", True, False),
    "198.41.0.21/32": ("crdb.onboard ", True, False),
}
KEPT = (CONTROLLER, "198.41.0.10")
GIVEN = ("198.41.0.20", "198.41.0.21")


def move():
    return wanted("present", *MOVED["given"], names=MOVED["names"], remove_any=True)


def admits(allowlist, address):
    return any(e.sql and ipaddress.ip_address(address) in ipaddress.ip_network(e.cidr) for e in allowlist)


def lists(allowlist, cidr):
    return any(entry.cidr == cidr for entry in allowlist)


def assert_access_was_never_less(cloud):
    """Who is to stay in was in after every request, and nothing was taken before everything was given."""
    for state in cloud.history:
        assert all(admits(state, address) for address in KEPT)
        if not (lists(state, "0.0.0.0/0") and lists(state, "198.41.0.9/32")):
            assert all(lists(state, f"{address}/32") for address in GIVEN)


def requests_of_the_move(cloud):
    cloud.store("funky-skunk", *BEFORE)
    cloud.switch()
    reconcile(cloud, move())
    assert stored(cloud) == AFTER
    return cloud.count()


def test_the_move_without_faults_uses_no_request_too_many(cloud):
    # Three pages of four entries and the default page size, a change each, two looks at the propagation.
    assert requests_of_the_move(cloud) == 2 + 2 + 1 + 2 + 2
    assert_access_was_never_less(cloud)
    cloud.switch()
    assert reconcile(cloud, wanted("present", *MOVED["given"])).empty
    assert cloud.count("GET") == cloud.count()


KINDS = ["timeout", "timeout_after", "reset", "reset_after", "429", "429_retry", "500", "500_after", "503", "503_after",
         "bad_json", "bad_json_after", "html", "html_after", "html_ok_after", "empty_after", "401", "403"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_fault_at_any_request_never_takes_access_and_the_next_run_converges(cloud, kind, lasting):
    total = requests_of_the_move(cloud)
    for first in range(total):
        cloud.store("funky-skunk", *BEFORE)
        last = first + 100 if lasting else first
        cloud.switch(faults={str(number): kind for number in range(first, last + 1)})
        try:
            reconcile(cloud, move(), timeout=0.1 if "timeout" in kind else 5.0)
            failed = ""
        except OnboardingError as exc:
            failed = str(exc)
        assert_access_was_never_less(cloud)
        if failed:
            assert "Cloud API: " in failed
            assert "/networking/allowlist" in failed
            assert KEY not in failed
            assert {"401": "make a new one", "403": "needs another role"}.get(kind, "") in failed
            # What reads may fail before anything is known to be done; else the error reports how far it came.
            assert "Done: " in failed or stored(cloud) == {e.cidr: (e.name, e.sql, e.ui) for e in BEFORE}
        elif not lasting:
            assert stored(cloud) == AFTER
        if lasting and not kind.endswith("_after"):
            assert failed, (kind, first)
        if not lasting and kind not in ("401", "403"):
            assert not failed, (kind, first, failed)
        cloud.switch()
        reconcile(cloud, move())
        assert stored(cloud) == AFTER


OPEN = [
    {"duplicate": 409}, {"duplicate": 400}, {"duplicate": 200}, {"host_bits": "normalize"}, {"host_bits": "keep"},
    {"put_existing": 409}, {"extra_fields": False}, {"page_limit": 1}, {"page_limit": 500}, {"propagation": 0.05},
    {"role": "OPERATOR"},
]  # fmt: skip


@pytest.mark.parametrize("switches", OPEN, ids=str)
def test_the_result_is_the_same_however_the_service_decides_what_is_left_open(cloud, switches):
    cloud.store("funky-skunk", *BEFORE)
    cloud.switch(**switches)
    reconcile(cloud, move())
    assert stored(cloud) == AFTER
    assert reconcile(cloud, wanted("present", *MOVED["given"])).empty


@pytest.mark.parametrize("duplicate", [409, 400, 200])
def test_an_entry_that_somebody_else_adds_meanwhile_is_no_error(cloud, duplicate):
    cloud.store("funky-skunk", *BEFORE)
    cloud.switch(duplicate=duplicate)
    api = client(cloud)
    identifier = cloud.clusters["funky-skunk"].identifier
    todo = _allowlist.plan(_allowlist.read(api.allowlist(identifier)[0]), move())
    cloud.store("funky-skunk", *BEFORE, Entry("198.41.0.20/32", "theirs", sql=False, ui=False))
    _allowlist.Reconciler(api, identifier, "funky-skunk").carry_out(todo, 5.0)
    assert stored(cloud) == AFTER


def test_entries_with_bits_of_the_host_set_are_known_and_removed_by_their_own_key(cloud):
    cloud.switch(host_bits="keep")
    cloud.store("funky-skunk", Entry("203.0.113.0/24", "inside"))
    client(cloud).add_entry(
        cloud.clusters["funky-skunk"].identifier,
        {"cidr_ip": "198.41.0.5", "cidr_mask": 24, "name": "crdb.onboard x", "sql": True, "ui": False},
    )
    assert reconcile(cloud, wanted("present", {"cidr": "198.41.0.0/24", "name": "x"})).empty
    reconcile(cloud, wanted("absent", "198.41.0.0/24"))
    assert set(stored(cloud)) == {"203.0.113.0/24"}


def test_two_runs_at_once_end_in_the_same_state(cloud):
    for _round in range(10):
        cloud.store("funky-skunk", *BEFORE)
        cloud.switch()
        with ThreadPoolExecutor(2) as pool:
            for run in [pool.submit(reconcile, cloud, move()) for _number in range(2)]:
                run.result()
        assert stored(cloud) == AFTER
        assert_access_was_never_less(cloud)


def test_a_locked_cluster_is_said_to_be_locked(cloud):
    cloud.store("funky-skunk", *BEFORE)
    cloud.switch(locked=503)
    with pytest.raises(OnboardingError, match=r"answered 503: the cluster is locked.*wait for its end.*Not done: add"):
        reconcile(cloud, move())
    assert stored(cloud) == {e.cidr: (e.name, e.sql, e.ui) for e in BEFORE}


@pytest.mark.parametrize(("status", "retry_after"), [(429, True), (429, False), (503, True), (403, False)])
def test_the_rate_limit_is_known_by_any_status_and_waited_for(cloud, monkeypatch, status, retry_after):
    pauses = []
    monkeypatch.setattr(_http, "_pause", lambda attempt, seconds: (pauses.append(seconds), time.sleep(1.0)))
    cloud.store("funky-skunk", *BEFORE)
    cloud.switch(rate=5, rate_status=status, retry_after=retry_after)
    reconcile(cloud, move())
    assert stored(cloud) == AFTER
    assert set(pauses) == {1.0 if retry_after else None}


def test_200_entries_take_one_request_each_and_keep_the_limit(cloud, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(_allowlist, "POLL", 0.01)
    cloud.store("steady-heron")
    cloud.switch(page_limit=500, rate=10, entry_limit=200)
    given = [f"198.41.{number}.0/24" for number in range(200)]
    begin = time.monotonic()
    reconcile(cloud, wanted("present", *given), name="steady-heron")
    assert time.monotonic() - begin > 200 / 10 - 1
    assert len(stored(cloud, "steady-heron")) == 200
    assert (cloud.count("POST"), cloud.count()) == (200, 202)
    assert {response.status for _request, response in cloud.exchanges} == {200}


class TestPlan:
    def plan(self, what, *before):
        found = [
            _allowlist.StoredEntry(e.cidr.split("/")[0], int(e.cidr.split("/")[1]), e.name, e.sql, e.ui) for e in before
        ]
        return _allowlist.plan(tuple(found), what)

    def after(self, what, *before):
        return {str(e.network): e.name for e in self.plan(what, *before).after}

    def test_exact_removes_what_others_made_and_present_does_not(self):
        given = {"cidr": "198.41.0.1", "name": "a"}
        assert set(self.after(wanted("present", given), *BEFORE)) == {*(e.cidr for e in BEFORE), "198.41.0.1/32"}
        assert self.after(wanted("exact", given), *BEFORE) == {"198.41.0.1/32": "crdb.onboard a"}

    def test_absent_leaves_what_is_not_ours_and_says_so(self):
        todo = self.plan(wanted("absent", "203.0.113.0/24", "198.41.0.9"), *BEFORE)
        assert [str(e.network) for e in todo.remove] == ["198.41.0.9/32"]
        assert "203.0.113.0/24 'inside' is kept" in todo.notes[0]

    def test_a_foreign_entry_gets_wider_rights_but_keeps_its_name(self):
        todo = self.plan(wanted("present", {"cidr": "203.0.113.0/24", "name": "b", "ui": True}), *BEFORE)
        ((before, after),) = todo.widen
        assert (before.name, after.name, after.sql, after.ui) == ("inside", "inside", True, True)

    def test_expired_entries_of_ours_go_and_others_stay(self):
        old = Entry("198.41.0.9/32", "crdb.onboard ann (until 2026-05-31)")
        today = Entry("198.41.0.8/32", "crdb.onboard bob (until 2026-06-01)")
        theirs = Entry("198.41.0.7/32", "theirs (until 2026-05-31)")
        assert [e.name for e in self.plan(wanted(), old, today, theirs).remove] == [old.name]
        longer = wanted("present", {"cidr": "198.41.0.9", "name": "ann", "expires": "2026-12-31"})
        assert self.after(longer, old) == {"198.41.0.9/32": "crdb.onboard ann (until 2026-12-31)"}

    def test_the_default_is_told_of_and_removed_when_asked_but_never_as_the_last(self):
        default = Entry("0.0.0.0/0", "Default")
        assert "so narrower entries have no effect" in self.plan(wanted("present", "198.41.0.1"), default).notes[0]
        assert self.after(wanted("present", "198.41.0.1", remove_any=True), default) == {
            "198.41.0.1/32": "crdb.onboard "
        }
        alone = self.plan(wanted("present", remove_any=True), default)
        assert alone.empty
        assert "without it, the allowlist would let nobody in" in alone.notes[0]

    def test_who_would_be_locked_out_is_known_beforehand(self):
        todo = self.plan(wanted("exact", "198.41.0.1"), *BEFORE)
        assert _allowlist.locked_out(todo, [CONTROLLER, "198.41.0.1"]) == [CONTROLLER]
        kept = self.plan(wanted("exact", "203.0.113.0/28"), *BEFORE)
        assert _allowlist.locked_out(kept, [CONTROLLER]) == []

    def test_too_many_are_refused_before_the_first_change(self):
        todo = self.plan(wanted("present", "198.41.0.1", "198.41.0.2"), *BEFORE)
        with pytest.raises(OnboardingError, match=r"may have 5 entries; it has 4, and 2 would be added. Join"):
            _allowlist.refuse_too_many(todo, 5, "x")
        _allowlist.refuse_too_many(todo, 6, "x")


class TestUser:
    def ensure(self, cloud, store, password=None, update="on_create", name="ann", **settings):
        cluster = cloud.clusters["funky-skunk"]
        target = Target(cluster.identifier, cluster.name, name)
        return _users.ensure(client(cloud, **settings), target, password, store, update, 32, check=False)

    @pytest.fixture
    def store(self, tmp_path, cloud):
        cloud.accounts["funky-skunk"].passwords.pop("ann", None)
        cloud.switch()
        return PasswordStore(str(tmp_path / "store.json"))

    def known(self, cloud, store, name="ann"):
        return store.get(cloud.clusters["funky-skunk"].identifier, name)

    @pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("401", "403")])
    def test_the_password_in_the_store_is_the_one_that_is_set_whatever_fails(self, cloud, tmp_path, kind):
        for first in range(4):
            for last in (first, first + 100):
                store = PasswordStore(str(tmp_path / f"{first}-{last}"))
                cloud.accounts["funky-skunk"].passwords.pop("ann", None)
                cloud.switch(faults={str(number): kind for number in range(first, last + 1)})
                with contextlib.suppress(OnboardingError):
                    self.ensure(cloud, store, timeout=0.1 if "timeout" in kind else 5.0)
                cloud.switch()
                self.ensure(cloud, store)
                assert self.known(cloud, store) == (cloud.accounts["funky-skunk"].passwords["ann"], False)

    def test_a_second_run_changes_nothing(self, cloud, store):
        assert self.ensure(cloud, store) == "create"
        cloud.switch()
        assert self.ensure(cloud, store) == ""
        assert cloud.count("GET") == cloud.count() == 1

    def test_a_run_that_died_between_the_store_and_the_service_is_finished_by_the_next(self, cloud, store):
        identifier = cloud.clusters["funky-skunk"].identifier
        store.put(identifier, "funky-skunk", "ann", "written-but-never-set-0000", pending=True)
        assert self.ensure(cloud, store) == "create"
        assert cloud.accounts["funky-skunk"].passwords["ann"] == "written-but-never-set-0000"
        store.put(identifier, "funky-skunk", "ann", "written-but-never-set-1111", pending=True)
        assert self.ensure(cloud, store) == "set"
        assert cloud.accounts["funky-skunk"].passwords["ann"] == "written-but-never-set-1111"

    def test_a_user_whose_password_is_nowhere_is_told_of_and_can_get_a_new_one(self, cloud, store):
        cloud.accounts["funky-skunk"].passwords["ann"] = "forgotten"
        with pytest.raises(OnboardingError, match=r"its password is not in the store.*update_password: always"):
            self.ensure(cloud, store)
        assert self.ensure(cloud, store, update="always") == "set"
        assert self.known(cloud, store) == (cloud.accounts["funky-skunk"].passwords["ann"], False)

    def test_without_a_store_a_password_has_to_be_given(self, cloud, store):
        with pytest.raises(
            OnboardingError, match=r"needs a password\. Set password \(crdb_sql_user_password\), or set password_store"
        ):
            self.ensure(cloud, None)
        assert self.ensure(cloud, None, password="given-by-a-person-00") == "create"

    @pytest.mark.parametrize("name", ["root", "Admin", "pg_x", "a b", "", "-a", "x" * 64, "caf\u00e9", "node"])
    def test_names_that_the_service_refuses_are_refused(self, name):
        with pytest.raises(OnboardingError, match="SQL user"):
            user_name(name)

    def test_names_are_kept_in_lower_case(self):
        assert user_name("MaxRoach") == "maxroach"


class TestClient:
    def test_pages_are_read_to_the_end(self, cloud):
        cloud.switch(page_limit=1)
        assert [c["name"] for c in client(cloud).clusters()] == ["brave-otter", "funky-skunk", "steady-heron"]
        assert cloud.count() == 3

    def test_a_cluster_is_found_by_name_and_by_id_and_refused_with_the_names_there_are(self, cloud):
        cloud.switch()
        api = client(cloud)
        by_name = choose(api.clusters(), "funky-skunk")
        assert choose(api.clusters(), by_name["id"]) == by_name
        with pytest.raises(
            OnboardingError, match=r"no cluster 'skunk'.*it sees: brave-otter, funky-skunk, steady-heron"
        ):
            choose(api.clusters(), "skunk")

    def test_the_key_and_the_version_are_sent_and_the_certificate_is_asked_for_without(self, cloud):
        cloud.switch()
        api = client(cloud)
        api.clusters()
        api.authorities(cloud.clusters["funky-skunk"].identifier)
        headers = [request.headers for request, _response in cloud.exchanges]
        assert headers[0]["authorization"] == f"Bearer {KEY}"
        assert headers[0]["cc-version"] == "2024-09-16"
        assert "authorization" not in headers[-1]

    def test_a_password_goes_in_the_body_only(self, cloud):
        cloud.switch()
        client(cloud).create_user(cloud.clusters["brave-otter"].identifier, "eve", "the-password-of-eve")
        ((request, _response),) = cloud.exchanges
        assert sent(request) == {"name": "eve", "password": "the-password-of-eve"}
        assert "eve" not in request.target

    def test_a_wrong_key_is_refused_with_its_cure_and_not_shown(self, cloud):
        cloud.switch()
        with pytest.raises(CloudError) as caught:
            client(cloud, key="CCDB1_wrong_but_still_secret").clusters()
        assert "make a new one in the Console" in str(caught.value)
        assert "still_secret" not in str(caught.value)
        assert (caught.value.method, caught.value.path, caught.value.code) == ("GET", "/api/v1/clusters", 16)

    def test_a_server_of_another_authority_is_not_spoken_to(self, cloud, tmp_path):
        cloud.switch()
        with pytest.raises(CloudError, match="cannot be verified"):
            client(cloud, ca_file=None).clusters()
        assert cloud.count() == 0

    @pytest.mark.parametrize("url", ["http://cockroachlabs.cloud", "ftp://x", "cockroachlabs.cloud", "https://u:p@x"])
    def test_only_https_is_spoken(self, url):
        with pytest.raises(OnboardingError, match=r"^cloud\.url must"):
            Settings.from_options({"api_key": KEY, "url": url})

    def test_http_is_spoken_to_this_machine(self):
        assert Settings.from_options({"api_key": KEY, "url": "http://127.0.0.1:1"}).url

    def test_the_key_comes_from_a_private_file_or_the_environment_and_is_in_no_representation(
        self, tmp_path, monkeypatch
    ):
        path = tmp_path / "key"
        path.write_text(f"{KEY}\n")
        path.chmod(0o644)
        with pytest.raises(OnboardingError, match="chmod 600"):
            Settings.from_options({"api_key_file": str(path)})
        path.chmod(0o600)
        settings = Settings.from_options({"api_key_file": str(path)})
        assert settings.key == KEY
        assert KEY not in repr(settings)
        monkeypatch.setenv("COCKROACH_API_KEY", "from-the-environment")
        assert Settings.from_options({}).key == "from-the-environment"
        monkeypatch.delenv("COCKROACH_API_KEY")
        with pytest.raises(OnboardingError, match="COCKROACH_API_KEY"):
            Settings.from_options({})

    def test_a_proxy_of_the_environment_is_used(self, cloud, monkeypatch):
        cloud.switch()
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "")
        with pytest.raises(CloudError, match="HTTPS_PROXY"):
            client(cloud, timeout=1.0).clusters()
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert client(cloud).clusters()
