# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The claims that end a run: what was written and what was created is removed again, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.checks.claims import APP, by_sql, connections
from tests.acceptance.run import Run, check, expect


def _files(home: Path) -> list[str]:
    """The files below a home, but Ansible's and Python's own."""
    ours = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return sorted(str(path) for path in ours if path.parts[0] not in (".ansible", ".cache"))


@check("offboard", "offboard.yml removes every file that was written", "claim", after=("proved",))
def offboard(run: Run) -> str | None:
    own = run.home / "sample" / "mine.txt"
    own.write_text("a file of the person\n")
    before = _files(run.home)
    variables = by_sql(run)
    run.playbook("offboard", **variables)
    expect(len(before) > 3, f"Too few files were there before: {before}.")
    left = [name for name in _files(run.home) if not name.startswith("rotated/")]
    expect(left == ["sample/mine.txt"], f"After offboard.yml these files are left: {left}.")
    return f"{len(before) - len(left)} files were removed"


@check("leaver", "leaver.yml removes a user and its allowlist entries", "claim", kinds=("cloud",),
       after=("api-user-and-network",))  # fmt: skip
def leaver(run: Run) -> str | None:
    variables = {
        "crdb_sql_user_clusters": [run.target.name],
        "crdb_sql_user_name": run.names("leaver"),
        "crdb_network_clusters": [run.target.name],
        "crdb_network_name": "acceptance",
        "crdb_network_entries": [],
        "crdb_network_allow_lockout": True,
    }
    added = [{"cidr": "192.0.2.203", "name": "acceptance"}]
    let_in = {**variables, "crdb_network_entries": added, "crdb_network_allow_private": True}
    run.playbook("sql_user", "authorize_network", **let_in)
    run.playbook("leaver", **variables)
    users = [user["name"] for user in run.api.items(run.target.path("sql-users"), "users")]
    expect(run.names("leaver") not in users, "The user is still listed after leaver.yml.")
    entries = [e["cidr_ip"] for e in run.api.items(run.target.path("networking/allowlist"), "allowlist")]
    expect("192.0.2.203" not in entries, "The entry is still listed after leaver.yml.")
    return None


@check("remove-user-by-sql", "sql_user.yml removes a user that owns nothing, with all its grants", "claim",
       kinds=("self_hosted",), after=("least-rights",))  # fmt: skip
def remove_user_by_sql(run: Run) -> str | None:
    variables = {**by_sql(run), "crdb_sql_user_state": "absent"}
    del variables["crdb_apps"]
    run.playbook("sql_user", **{**variables, "crdb_connections": connections(run)})
    with run.target.connect() as session:
        row = session.execute(b"SELECT 1 FROM pg_roles WHERE rolname = %s", (run.names(APP),)).fetchone()
    expect(row is None, "The role is still there after the run that removes it.")
    return None
