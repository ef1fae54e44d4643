# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a connection for client certificates: what they mean, and what is refused before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import certificates
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import with_certificate
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.shorthand import Inputs
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import (
    CERTIFICATE_KEYS,
    CERTIFICATE_SOURCE_KEYS,
    CertificateSource,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files

SERVER = {"host": "db.example.com", "user": "Shop", "ca_file": "/ca.crt"}
OF_CA = {"client_ca_file": "/client-ca.crt", "client_ca_key_file": "/client-ca.key"}


def test_a_connection_with_a_client_ca():
    read = source("shop", {**SERVER, **OF_CA})
    assert read.certificate == CertificateSource("client_ca_file", "/client-ca.crt", "/client-ca.key", names=("shop",))
    assert read.connection.sslcert == "certs/client.shop.crt"
    assert read.connection.sslkey == "certs/client.shop.key"
    assert read.certificate.lifetime == 1830


def test_all_keys():
    facts = {
        "client_cert_names": "shop.apps, shop.example.com",
        "client_cert_lifetime": "90",
        "client_cert_renew_days": 10,
        "client_key_made_on": "controller",
    }
    read = source("shop", {**SERVER, **OF_CA, **facts}).certificate
    assert read.names == ("shop.apps", "shop.example.com")
    assert (read.lifetime, read.renew_days, read.made_on) == (90, 10, "controller")
    assert not read.new_key
    assert source("shop", {**SERVER, **OF_CA, "client_key_rotation": "always"}).certificate.new_key
    read = source("shop", {**SERVER, "client_cert_command": "step 'ca sign' /dev/stdin"}).certificate
    assert read.command == ("step", "ca sign", "/dev/stdin")


def test_without_one():
    assert source("shop", {**SERVER, "password": "x"}).certificate is None
    assert source("shop", {**SERVER, "sslcert": "/a", "sslkey": "/b"}).certificate is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"client_ca_file": "/ca"}, "client_ca_key_file is missing: client_ca_file needs it"),
        ({"client_cert_file": "/c"}, "client_cert_key_file is missing: client_cert_file needs it"),
        ({"client_ca_key_file": "/k", "password": "x"}, "client_ca_key_file has no use without client_ca_file or"),
        ({"client_cert_lifetime": 9, "password": "x"}, "client_cert_lifetime has no use without"),
        (
            {**OF_CA, "client_cert_command": "x"},
            "has client_ca_file and client_cert_command, but a connection may have",
        ),
        ({**OF_CA, "client_cert_key_file": "/k"}, "client_cert_key_file has no use with client_ca_file"),
        ({**OF_CA, "password": "canary"}, "has client_ca_file and password. Leave one of them out"),
        ({**OF_CA, "sslcert": "/a", "sslkey": "/b"}, "has client_ca_file and sslcert. Leave one of them out"),
        ({**OF_CA, "client_cert_lifetime": 0}, "client_cert_lifetime: 0 must be from 1 to"),
        ({**OF_CA, "client_cert_renew_days": -1}, "client_cert_renew_days: -1 must be from 0 to"),
        ({**OF_CA, "client_cert_lifetime": 9, "client_cert_renew_days": 9}, "9 must be less than client_cert_lifetime"),
        ({**OF_CA, "client_cert_names": ["a\nb"]}, r"'a\\nb' must be a name of 1 to 64 characters"),
        ({**OF_CA, "client_cert_names": ["a", "ü"]}, "'ü' must consist of ASCII characters"),
        ({**OF_CA, "client_key_made_on": "moon"}, "value of client_key_made_on must be one of"),
        ({"client_cert_command": "a 'b"}, "client_cert_command: has a quote without its other half"),
        ({**OF_CA, "user": "a/../b"}, "the user name 'a...' contains '/'"),
        ({**OF_CA, "routing_id": "funky-skunk-123"}, "accept no client certificate"),
    ],
)
def test_what_is_refused(facts, words):
    with pytest.raises(OnboardingError, match=words) as caught:
        source("shop", {**SERVER, **facts})
    assert str(caught.value).startswith("connections.shop: ")
    assert "canary" not in str(caught.value)


def test_a_typing_error_names_the_nearest_key():
    with pytest.raises(OnboardingError, match=r"unknown key: client_ca_fil\. Did you mean client_ca_file"):
        source("shop", {**SERVER, "client_ca_fil": "/x"})


def test_two_users_that_alternate_have_passwords():
    inventory = HostInventory({"connections": {"shop": {**SERVER, **OF_CA, "user": "", "users": ["a", "b"]}}})
    with pytest.raises(OnboardingError, match="has users, so client_ca_file must be left out"):
        list(inventory.sources)


def app(frameworks, **facts):
    entry = {"name": "shop", "folder": "~/shop", "frameworks": frameworks}
    inventory = HostInventory({"connections": {"shop": {**SERVER, **OF_CA}}, "apps": [{**entry, **facts}]})
    return with_certificate(inventory.apps[0], "/home/shop/shop")


def test_the_files_name_it_by_an_absolute_path():
    placed = app(["psycopg2"])
    (env, *_others) = app_files(placed, "/home/shop/shop", "/home/shop", "/ca.crt").files
    assert b"sslcert=%2Fhome%2Fshop%2Fshop%2Fcerts%2Fclient.shop.crt" in env.content
    assert b"sslkey=%2Fhome%2Fshop%2Fshop%2Fcerts%2Fclient.shop.key&" in env.content.replace(b'"', b"&")
    assert b"password" not in env.content
    # It comes with them, in the same step.
    assert env.requires == ()


def test_java_names_the_key_in_pkcs8():
    files = app_files(app(["jdbc"]), "/home/shop/shop", "/home/shop", "/ca.crt").files
    assert b"client.shop.key.pk8" in files[0].content


def test_a_framework_that_cannot_present_one_is_refused():
    with pytest.raises(OnboardingError, match="cannot present a client certificate, which the connection shop has"):
        app([{"name": "typeorm", "version": "0.2.45", "variant": "json", "password_place": "inline"}])


CHOICES = [choice for framework in _catalogue.load().values() for choice in framework.choices]


def listed(choice):
    facts = {"name": choice.name, "variant": choice.variant, "password_place": choice.places[0]}
    if choice.packages:
        facts["version"] = choice.packages[0].tested
    return {key: value for key, value in facts.items() if value}


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.name} {choice.versions} {choice.variant}")
@pytest.mark.parametrize("kind", ["client_ca_file", "client_cert_command", "client_cert_vault"])
def test_every_choice_of_the_catalogue_presents_one_or_is_refused_before_anything_is_written(choice, kind):
    """What can, names the certificate and its key by absolute paths, and the key in the form that it reads."""
    of_vault = {"client_cert_vault": "https://vault.example.com", "client_cert_vault_role": "shop"}
    kinds = {
        "client_ca_file": OF_CA,
        "client_cert_command": {"client_cert_command": "sign"},
        "client_cert_vault": of_vault,
    }
    facts = {**SERVER, **kinds[kind]}
    inventory = HostInventory(
        {"connections": {"shop": facts}, "apps": [{"name": "shop", "folder": "~/shop", "frameworks": [listed(choice)]}]}
    )
    if choice.client_certificate == "none":
        # Reading the inventory refuses it, which comes before any host is asked.
        with pytest.raises(OnboardingError, match="cannot present a client certificate, which the connection shop has"):
            assert inventory.apps
        return
    placed = with_certificate(inventory.apps[0], "/home/shop/shop")
    rendered = b"".join(file.content for file in app_files(placed, "/home/shop/shop", "/home/shop", "/ca.crt").files)
    key = b"client.shop.key.pk8" if choice.client_certificate == "pkcs8" else b"client.shop.key"
    assert key in rendered
    assert b"client.shop.crt" in rendered
    assert (b".pk8" in rendered) == (choice.client_certificate == "pkcs8")


def test_the_page_says_who_reads_the_key_in_pkcs8():
    page = Path(__file__).parents[4].joinpath("docs/login.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| PKCS#8 in DER |")]
    readers = {choice.title for choice in CHOICES if choice.client_certificate == "pkcs8"}
    assert {title.strip() for title in row.split("|")[3].split(",")} == readers


@pytest.mark.parametrize("key", ["sslcert", *CERTIFICATE_SOURCE_KEYS])
def test_the_sql_user_of_a_certificate_gets_no_password(key):
    assert certificates.is_given({key: "/x"})
    assert not certificates.is_given({key: ""})


def test_the_cloud_api_is_told_which_users_have_certificates():
    """`crdb_connections` is evaluated for these keys only, where the API creates users."""
    seen = []

    def entries_of(_name, keys):
        seen.extend(keys)
        return {}

    Inputs(
        names=["crdb_connections"], value_of=lambda name: None, prefixes={"connections": "crdb_connection_"},
        wholes={"connections": "crdb_connections"}, also={}, every=[], values={}, declared=["crdb_connections"],
        reserved=[], entries_of=entries_of,
    ).read("clusters")  # fmt: skip
    assert set(CERTIFICATE_SOURCE_KEYS) <= set(seen)


def test_every_key_is_documented():
    facts = dict.fromkeys(CERTIFICATE_KEYS, "")
    assert source("shop", {**SERVER, "password": "x", **facts}).certificate is None
