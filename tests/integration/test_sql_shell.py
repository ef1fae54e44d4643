# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""crdb-sql on every deployment, beside a stray ~/.cockroach-certs: the client is a stand-in that really connects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import archive_name, this_build

from tests import vendor
from tests.integration.conftest import environment_values

VERSION = "v25.4.11"
APPS = {"skunk": "funky_skunk", "otter": "brave_otter", "heron": "steady_heron", "badger": "lone_badger"}
# What matters of the vendor's client: COCKROACH_URL, and a CA in COCKROACH_CERTS_DIR (by default ~/.cockroach-certs).
# Here that always wins: the worst case.
CLIENT = f"""#!{sys.executable}
import os, sys
if sys.argv[1:] in (["version"], ["--version"]):
    print("Build Tag:        {VERSION}")
    sys.exit()
if sys.argv[1] == "gen":
    print("# completion")
    sys.exit()
import psycopg
from psycopg.conninfo import conninfo_to_dict
assert sys.argv[1:3] == ["sql", "--execute"], sys.argv
facts = conninfo_to_dict(os.environ["COCKROACH_URL"])
certs = os.environ.get("COCKROACH_CERTS_DIR") or os.path.expanduser("~/.cockroach-certs")
if os.path.exists(os.path.join(certs, "ca.crt")):
    facts["sslrootcert"] = os.path.join(certs, "ca.crt")
seen = [open(f"/proc/{{pid}}/cmdline").read() for pid in (os.getpid(), os.getppid())]
assert not [line for line in seen if facts.get("password", "\\0\\0") in line], "the password is on a command line"
with psycopg.connect(**facts) as connection:
    print(connection.execute(sys.argv[3]).fetchone()[0], connection.pgconn.ssl_in_use)
"""


@pytest.fixture
def home(controller, sandbox, tmp_path):
    """A home with an app a deployment, the client, and the certificates of some other cluster."""
    for product in ("cockroach", "cockroach-sql"):
        build = this_build()
        entries = vendor.layout(product, VERSION, build, text=CLIENT.encode())
        vendor.put(tmp_path / "archives", archive_name(product, VERSION, build), vendor.pack(entries))
    (controller.home / ".cockroach-certs").mkdir()
    (controller.home / ".cockroach-certs" / "ca.crt").write_bytes(sandbox.stranger_ca_file.read_bytes())
    return controller.home


@pytest.mark.parametrize("product", ["cockroach", pytest.param("cockroach-sql", marks=pytest.mark.thorough)])
def test_a_statement_is_executed_on_every_deployment(controller, sandbox, home, tmp_path, product):
    facts = {
        "crdb_hosts": "localhost",
        "crdb_client_install": True,
        "crdb_client_version": VERSION,
        "crdb_client_products": [product],
        "crdb_client_archive_folder": str(tmp_path / "archives"),
        "crdb_client_prefix": "~/.local",
        "crdb_connections": {name: sandbox.connections[name] for name in APPS.values()},
        "crdb_apps": [{"name": n, "connection": c, "folder": f"~/{n}"} for n, c in APPS.items()],
    }
    run = controller.playbook("dev_machine", facts)
    assert run.status == 0, run.output
    assert f"crdb-sql -f {home}/heron/.env" in run.output
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    for name, connection in APPS.items():
        words = ["-f", home / name / ".env", "--execute", "SELECT current_user || ' of ' || current_database()"]
        done = subprocess.run(
            [home / ".local/bin/crdb-sql", *words], env=environment, capture_output=True, text=True, check=False
        )
        user = sandbox.clusters[connection.replace("_", "-")].user
        assert done.stdout == f"{user} of defaultdb True\n", done.stderr
    # The same client without crdb-sql falls for the stray CA, so the stand-in shows what it is meant to.
    url = environment_values((home / "heron" / ".env").read_text())["DATABASE_URL"]
    done = subprocess.run(
        [home / ".local/bin" / product, "sql", "--execute", "SELECT 1"],
        env={**environment, "COCKROACH_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "certificate verify failed" in done.stderr
    assert Path(home / ".cockroach-certs" / "ca.crt").read_bytes() == sandbox.stranger_ca_file.read_bytes()
