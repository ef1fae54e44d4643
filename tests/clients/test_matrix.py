# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every cell of the matrix: the framework connects by what the role wrote, and refuses what it has to refuse."""

from __future__ import annotations

import json
import os

import pytest

from tests.clients.matrix import ALL, CLUSTERS, RESULTS, is_refused, listed, run_all

CELLS = listed(bool(os.environ.get(ALL)))


@pytest.fixture(scope="module")
def reports(request, sandbox, tmp_path_factory):
    """The report of every selected cell, by its name; kept for the documentation, where all were listed."""
    selected = {item.callspec.params["cell"].name for item in request.session.items if "reports" in item.fixturenames}
    found = run_all([cell for cell in CELLS if cell.name in selected], sandbox, tmp_path_factory.mktemp("clients"))
    if os.environ.get(ALL):
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({**before, **found}, indent=1))
    return found


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_cell(reports, sandbox, cell):
    report = reports[cell.name]
    if report["verdict"] == "not_proved":
        pytest.skip(f"{report['message']} (make system-deps installs the toolchains, rustup.rs cargo)")
    if cell.impossible:
        assert report["verdict"] == "impossible"
        return
    if cell.trial != "inside":
        assert is_refused(cell, report), report
        return
    assert report["verdict"] == "proved", report
    cluster = sandbox.clusters[CLUSTERS[cell.deployment]]
    facts = report["facts"]
    assert (facts["user"], facts["database"], facts["answer"]) == (cluster.user, "defaultdb", 42)
    assert facts["tls"] in ("TLSv1.2", "TLSv1.3", "TLS")
    versions = [cell.framework.packages[0].tested] if cell.framework.packages else []
    assert facts["version"].split(" (")[0].removesuffix(".Final") in [v.removesuffix(".Final") for v in versions]
