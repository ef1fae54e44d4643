# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of an app: what is understood, what is refused, and the drop-in of its unit."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands as _commands
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import app_entries, apps
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.commands import Command
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import source
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import files
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout

URL = "postgresql://max:s3cret-canary@db.example.com:26257/bank?sslmode=verify-full"
SOURCES = {"db": source("db", {"url": URL, "ca_file": "/ca.crt"})}


def app(**facts):
    (found,) = apps(app_entries([{"folder": "/srv/shop", "user": "shop", **facts}]), SOURCES, _catalogue.load())
    return found


def test_an_app_without_a_service_has_no_commands():
    found = app()
    assert (found.service, found.reload, found.health, found.confirmed_later) == ("", None, None, False)
    assert found.users() == {"shop"}


def test_a_service_brings_its_own_commands():
    found = app(service="shop")
    assert found.service == "shop.service"
    assert found.reload == Command(("systemctl", "reload-or-restart", "shop.service"), "root", 90.0)
    assert found.health == Command(("systemctl", "is-active", "--quiet", "shop.service"), "root", 10.0, 10, 1.0)
    assert found.users() == {"shop", "root"}


def test_commands_of_its_own():
    found = app(
        service="shop@blue.service",
        reload=False,
        health={"shell": ". ./.env && ./ping", "run_as": "root", "retries": 3, "delay": 0.5, "timeout": 2},
    )
    assert found.reload is None
    assert found.health == Command(("/bin/sh", "-c", ". ./.env && ./ping"), "root", 2.0, 3, 0.5)
    assert app(reload=["kill", "-HUP", 17]).reload == Command(("kill", "-HUP", "17"), "app", 90.0)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"reload": "systemctl restart shop"}, "reload: must be a list of the program and its arguments. For"),
        ({"reload": []}, "reload: must be a list of texts, the program first"),
        ({"reload": [["a"]]}, "reload: must be a list of texts, the program first"),
        ({"reload": [""]}, "reload: has an empty program"),
        ({"reload": {"argv": ["a"], "shell": "b"}}, "reload: must have either argv .* or shell"),
        ({"reload": {"argv": ["a"], "retries": 3}}, "reload: unknown key: retries. The keys are argv, run_as, she"),
        ({"reload": {"argv": "a"}}, "reload: must be a list of texts"),
        ({"reload": {"argv": ["a"], "run_as": "shop"}}, "reload: run_as must be app or root, not 'shop'"),
        ({"reload": {"argv": ["a"], "timeout": 0}}, "reload: timeout: must be a number from 0.1 to 3600, not 0"),
        ({"health": {"argv": ["a"], "retries": -1}}, "health: retries: must be a number from 0 to 600, not -1"),
        ({"health": {"argv": ["a"], "delay": "long"}}, "health: delay: must be a number"),
        ({"health": 5}, "health: must be a list, a dictionary"),
        ({"health": ["ping", URL]}, "health: must not contain the password"),
        ({"service": "../shop"}, "service '../shop' is not a systemd service name"),
        ({"service": "--now"}, "is not a systemd service name"),
        ({"service": "shop.timer/x"}, "is not a systemd service name"),
        ({"service": ["shop"]}, "is not a systemd service name"),
    ],
)  # fmt: skip
def test_what_is_refused(facts, message):
    with pytest.raises(OnboardingError, match=f"apps entry 'shop'.*{message}") as caught:
        app(**facts)
    assert "s3cret-canary" not in str(caught.value)


def test_two_apps_do_not_share_a_service():
    entries = [{"name": name, "folder": f"/srv/{name}", "service": "web"} for name in ("one", "two")]
    with pytest.raises(OnboardingError, match="one and two have the same service"):
        apps(app_entries(entries), SOURCES, _catalogue.load())


def test_the_drop_in_loads_the_environment_file():
    rendered = files.render_app(app(name="shop", service="shop", folder="/srv/100% shop"), "/srv/100% shop", "/ca.crt")
    (drop_in,) = [file for file in rendered if file.user == "root"]
    assert drop_in.path == "/etc/systemd/system/shop.service.d/crdb-onboard.conf"
    assert drop_in.mode == 0o644
    assert drop_in.content.decode().splitlines()[1:] == ["[Service]", "EnvironmentFile=/srv/100%% shop/.env"]
    with pytest.raises(OnboardingError, match="cannot be written in a systemd unit"):
        files.drop_in(app(service="shop"), "/srv/a\\b/.env")


def test_no_drop_in_without_an_environment_file():
    inline = {"name": "psycopg2", "password_place": "inline"}
    rendered = files.render_app(app(service="shop", frameworks=[inline]), "/srv/shop", "/ca.crt")
    assert [file.user for file in rendered] == [None]


class TestOutcome:
    @pytest.mark.parametrize(
        ("facts", "outcome"),
        [
            (None, "untouched"),
            ({}, "lost"),
            ({"refused": "not ours"}, "refused"),
            ({"changed": [], "unconfirmed": [], "service": {}, "check": ""}, "unchanged"),
            ({"changed": ["shop"], "unconfirmed": [], "service": {}}, "updated"),
            ({"changed": ["shop"], "unconfirmed": ["shop"]}, "lost"),
            ({"changed": [], "service": {"shop": {"outcome": "updated", "detail": ""}}}, "updated"),
            ({"changed": ["shop"], "service": {"shop": {"outcome": "rolled_back", "detail": "x"}}}, "rolled_back"),
            ({"changed": ["shop"], "service": {"shop": {"outcome": "stuck", "detail": "x"}}}, "rolled_back"),
            ({"changed": ["shop"], "service": {"shop": {"outcome": "overtaken", "detail": "x"}}}, "failed"),
            ({"changed": ["shop"], "service": {}, "check": "shop: tcp_refused"}, "failed"),
        ],
    )
    def test_of_a_host(self, facts, outcome):
        assert _rollout.outcome(facts)[0] == outcome

    def test_files_that_another_run_changed_before_the_last_check_are_named(self):
        facts = {"changed": ["a", "b"], "service": {}, "check": "a: tls_unknown_ca", "replaced": ["a", "c"]}
        said = "another run changed the files of a meanwhile: the check does not pass: a: tls_unknown_ca"
        assert _rollout.outcome({**facts, "drifted": ["c"]}) == ("failed", said)
        assert "the files of a, c meanwhile" in _rollout.outcome(facts)[1]

    def test_the_report_is_short_for_many_hosts(self):
        hosts = {f"app{number}": ("untouched", "") for number in range(1000)}
        lines = _rollout.report({**hosts, "canary": ("refused", "not ours")}, check=False)
        assert lines[0] == "refused (1):"
        assert lines[1] == "  canary: not ours"
        assert lines[2].startswith("untouched (1000): app0, app1, ")
        assert lines[2].endswith(" and 980 more")

    def test_check_mode_says_what_would_be(self):
        facts = {"changed": ["shop"], "unconfirmed": ["shop"], "service": {}}
        assert _rollout.report({"app1": _rollout.outcome(facts)}, check=True) == ["would be updated (1): app1 [shop]"]


def test_a_unit_of_great_length_is_refused():
    assert _commands.unit("a" * 247, "x").endswith(".service")
    with pytest.raises(OnboardingError):
        _commands.unit("a" * 248, "x")
