# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real drivers, by the rendered files alone, against every cluster of the sandbox: they connect, and they refuse."""

from __future__ import annotations

import json
import re

import pytest

FRAMEWORKS = ["psycopg2", "django", "node-postgres"]
CLUSTERS = ["funky_skunk", "brave_otter", "steady_heron"]
CA_REFUSED = re.compile(
    r"certificate verify failed|UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT|unable to (verify|get)", re.IGNORECASE
)
HOST_REFUSED = re.compile(r"does not match host name|ERR_TLS_CERT_ALTNAME_INVALID", re.IGNORECASE)
OUTSIDE_SERVERLESS = re.compile(r"codeProxyRefusedConnection: connection refused")
OUTSIDE_DEDICATED = re.compile(r"timeout|timed out", re.IGNORECASE)
LOGIN_REFUSED = re.compile(r"password authentication failed for user")


def _variants(sandbox):
    """Connections by name, each with what every driver has to say of it: None for a proof."""
    variants = {}
    for name in CLUSTERS:
        facts = sandbox.connections[name]
        cluster = sandbox.clusters[name.replace("_", "-")]
        dedicated = facts["deployment"] == "dedicated"
        variants[name] = (facts, None)
        variants[f"{name}.stranger"] = ({**facts, "ca_file": str(sandbox.stranger_ca_file)}, CA_REFUSED)
        variants[f"{name}.impostor"] = ({**facts, "port": cluster.ports["impostor"]}, HOST_REFUSED)
        variants[f"{name}.outside"] = (
            {**facts, "port": cluster.ports["outside"]},
            OUTSIDE_DEDICATED if dedicated else OUTSIDE_SERVERLESS,
        )
        if not dedicated:
            variants[f"{name}.database"] = ({**facts, "routing": "database"}, None)
    skunk, otter = sandbox.connections["funky_skunk"], sandbox.connections["brave_otter"]
    variants["other_cluster"] = ({**skunk, "routing_id": otter["routing_id"]}, LOGIN_REFUSED)
    variants["other_cluster_back"] = ({**otter, "routing_id": skunk["routing_id"]}, LOGIN_REFUSED)
    return variants


@pytest.fixture(scope="module")
def verdicts(sandbox, drivers, tmp_path_factory):
    """Every driver's verdict on every variant: one run of a playbook, one app a variant."""
    from tests.integration.conftest import Controller

    home = tmp_path_factory.mktemp("home")
    variants = _variants(sandbox)
    controller = Controller(home)
    run = controller.playbook(
        "./tests/integration/playbooks/write_and_probe.yml",
        {
            **drivers,
            "crdb_check_environment": {**drivers["crdb_check_environment"], "PGCONNECT_TIMEOUT": "3"},
            "crdb_connections": {name.replace(".", "_"): facts for name, (facts, _wanted) in variants.items()},
            "crdb_apps": [
                {"name": name, "connection": name.replace(".", "_"), "folder": f"~/{name}", "frameworks": FRAMEWORKS}
                for name in variants
            ],
            "verdicts": str(home / "verdicts.json"),
        },
    )
    assert run.status == 0, run.output
    found = json.loads((home / "verdicts.json").read_text())
    return {(probe["app"], probe["framework"]): probe for probe in found}


NAMES = [
    *(f"{name}{variant}" for name in CLUSTERS for variant in ("", ".stranger", ".impostor", ".outside")),
    *("funky_skunk.database", "brave_otter.database", "other_cluster", "other_cluster_back"),
]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_driver(sandbox, verdicts, name, framework):
    wanted = _variants(sandbox)[name][1]
    probe = verdicts[name, framework]
    if wanted is not None:
        assert probe["verdict"] == "failed"
        assert wanted.search(probe["message"]), probe["message"]
        return
    facts = sandbox.connections[name.split(".")[0]]
    assert probe["verdict"] == "proved", probe["message"]
    found = probe["facts"]
    assert (found["user"], found["database"], found["sslmode"]) == (facts["user"], "defaultdb", "verify-full")
    assert found["tls"] in ("TLSv1.2", "TLSv1.3")
    if name.endswith(".database"):
        assert (found["options"], found["dbname"]) == ("", f"{facts['routing_id']}.defaultdb")
    else:
        assert found["options"] == (f"--cluster={facts['routing_id']}" if facts.get("routing_id") else "")
        assert found["dbname"] == "defaultdb"


def test_every_variant_was_run(sandbox, verdicts):
    assert {(name, framework) for name in _variants(sandbox) for framework in FRAMEWORKS} == set(verdicts)
