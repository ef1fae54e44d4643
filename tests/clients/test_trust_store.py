# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The trust store of an app: written once, compared by its certificates, used by a real JVM, taken away."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.matrix import Cell, _catalogue, installed, toolchain
from tests.integration.conftest import files_below

JDBC = _catalogue.load()["jdbc"].choices[0]
PROGRAM = """public final class Try {
    public static void main(String[] words) throws Exception {
        try (java.sql.Connection connection = CrdbDataSource.create().getConnection()) {
            System.out.println("connected");
        }
    }
}
"""


@pytest.fixture
def java():
    """The environment with pgjdbc in it."""
    facts = installed([Cell(JDBC, "dedicated")])[JDBC.name, JDBC.versions, JDBC.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    return toolchain(JDBC, Path(facts["folder"]))["environment"]


@pytest.mark.thorough
def test_a_trust_store_from_its_writing_to_its_end(controller, sandbox, java, tmp_path):
    facts = dict(sandbox.connections["steady_heron"])
    variables = {
        "crdb_connections": {"db": facts},
        "crdb_apps": [{"name": "shop", "folder": "~/my shop", "frameworks": ["jdbc"], "trust_store": True}],
    }

    def write(*words):
        run = controller.playbook("./tests/clients/playbooks/write.yml", variables, *words)
        assert run.status == 0, run.output
        return run

    app = controller.home / "my shop"
    store = app / "certs" / "truststore.p12"
    check = write("--check", "--diff")
    assert check.recap()["changed"] == 2
    assert "(not text: " in check.output
    assert files_below(controller.home) == {}
    write()
    written = files_below(app)
    assert set(written) == {
        ".env", "CrdbDataSource.java", "certs/ca.crt", "certs/truststore.args", "certs/truststore.p12",
    }  # fmt: skip
    assert b"sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory" in written[".env"]
    assert b"sslrootcert" not in written[".env"].split(b"JDBC_DATABASE_URL")[1]
    assert write().recap()["changed"] == 0
    assert files_below(app) == written

    (tmp_path / "Try.java").write_text(PROGRAM)
    environment = {"PATH": "/usr/bin:/bin", **java}
    build = ["javac", "-d", tmp_path / "build", app / "CrdbDataSource.java", tmp_path / "Try.java"]
    subprocess.run(build, env=environment, check=True)
    environment["CLASSPATH"] = f"{tmp_path}/build:{java['CLASSPATH']}"

    def connect(*words):
        return subprocess.run(
            ["java", *words, "Try"], cwd=app, env=environment, capture_output=True, text=True, check=False
        )

    done = connect("@certs/truststore.args")
    assert done.stdout == "connected\n", done.stderr
    assert "PKIX path" in connect().stderr
    listed = subprocess.run(
        ["keytool", "-list", "-keystore", store, "-storepass", "changeit"], capture_output=True, text=True, check=True
    )
    assert "1 entry" in listed.stdout
    assert "trustedCertEntry" in listed.stdout

    # The cluster changes its CA: with both for a while, then with the new one alone.
    facts["ca_file"] = str(sandbox.stranger_ca_file)
    write("-e", "keep_previous=true")
    assert "connected" in connect("@certs/truststore.args").stdout
    assert write().recap()["changed"] == 1
    assert "PKIX path" in connect("@certs/truststore.args").stderr

    # Somebody else's certificates in its place are replaced, and kept.
    facts["ca_file"] = str(sandbox.clusters["steady-heron"].ca_file)
    foreign = store.read_bytes()
    write()
    shutil.copy(store, tmp_path / "ours.p12")
    store.write_bytes(foreign)
    run = write()
    assert "truststore.p12.crdb-onboard-" in run.output
    assert "connected" in connect("@certs/truststore.args").stdout

    run = controller.playbook("offboard", {**variables, "crdb_hosts": "localhost"})
    assert run.status == 0, run.output
    assert set(files_below(app)) == {"certs/truststore.p12.crdb-onboard-1.bak"}
