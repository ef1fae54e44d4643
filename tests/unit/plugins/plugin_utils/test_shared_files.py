# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frameworks that share a file, as Go's share the package crdbpgx: it is written once, and in one form only."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files

URL = "postgresql://ann:p@db.example.com:26257/shop?sslmode=verify-full"


def written(*frameworks):
    connection = {"url": URL, "deployment": "self_hosted", "sslrootcert": "/ca.crt"}
    entry = {"name": "shop", "folder": "/srv/shop", "frameworks": list(frameworks), "connection": "db"}
    app = HostInventory({"connections": {"db": connection}, "apps": [entry]}).apps[0]
    return [file.path for file in app_files(app, "/srv/shop", "/home/ann", "/ca.crt").files]


def test_a_shared_file_is_written_once():
    assert sorted(written("pgx", "bun", "sqlx-go", "goose")) == [
        "/srv/shop/.env",
        *(f"/srv/shop/crdbpgx/{name}.go" for name in ("bun", "crdbpgx", "goose", "sql", "sqlx")),
    ]


@pytest.mark.parametrize(
    ("frameworks", "error"),
    [
        ([{"name": "pgx", "version": "4.18.3"}, "bun"], "need crdbpgx/crdbpgx.go in two forms"),
        ([{"name": "pgx", "password_place": "inline"}, "bun"], "both write crdbpgx/crdbpgx.go"),
    ],
)
def test_two_forms_are_refused(frameworks, error):
    with pytest.raises(OnboardingError, match=error):
        written(*frameworks)
