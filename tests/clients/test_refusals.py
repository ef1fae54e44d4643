# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be is refused before anything is written, and the choices are named."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks

from tests.integration.conftest import files_below

SEQUELIZE_6_9 = {"name": "sequelize", "version": "6.9.0"}


@pytest.mark.parametrize(
    ("cluster", "facts", "framework", "choices"),
    [
        ("funky_skunk", {}, "sqlite", f"The frameworks are {', '.join(frameworks.load())}"),
        (
            "funky_skunk",
            {},
            {"name": "typeorm", "version": "0.1.0"},
            "outside the supported ranges: >=1,<2 and >=0.3,<1 and >=0.2,<0.3",
        ),
        (
            "funky_skunk",
            {},
            {"name": "drizzle", "password_place": "inline"},
            "password_place cannot be inline. Use env",
        ),
        ("funky_skunk", {}, "drizzle-orm@0.30.0", "Drizzle 0.30.0 does not work: drizzle() takes no { client }"),
        ("funky_skunk", {}, {"name": "alembic", "variant": "asyncpg"}, "The variants are: psycopg2, psycopg"),
        ("funky_skunk", {}, "knex@2.5.1", "Knex 2.5.1 is outside the supported ranges: >=3.2,<4 and >=3.0.1,<3.2"),
        ("funky_skunk", {"routing": "options"}, SEQUELIZE_6_9, "by options; it can by database, sni"),
        (
            "steady_heron",
            {"ca_file": ""},
            "django",
            "ca_text or ca_cluster_id, or sslrootcert when",
        ),
        ("lone_badger", {"password": ""}, "django", "or set sslcert and sslkey for a client certificate"),
        ("lone_badger", {"sslcert": "/c/client.crt"}, "django", "sslkey is missing"),
        (
            "lone_badger",
            {"sslcert": "/nowhere/client.crt", "sslkey": "/nowhere/client.key"},
            "django",
            "names /nowhere/client.crt, which does not exist",
        ),
    ],
)
def test_refused(controller, sandbox, cluster, facts, framework, choices):
    connection = {**sandbox.connections[cluster], **facts}
    variables = {"crdb_connections": {"db": connection}, "crdb_frameworks": [framework]}
    run = controller.playbook("dev_machine", variables)
    assert run.status == 2, run.output
    assert choices in " ".join(run.output.replace("\\n", " ").split()), run.output
    assert files_below(controller.home) == {}
