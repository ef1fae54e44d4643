# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postgres.js in projects of TypeScript and of JavaScript."""

from __future__ import annotations

import json

import pytest

from tests.clients.skeletons.node import SETTINGS, Node, start, without_url

POSTGRES = ("postgres-js", ">=3.4,<4")
PRINTED = {
    "database": "defaultdb",
    "named": "postgres.js",
    "max": 7,
    "max_lifetime": 600,
    "connect_timeout": 9,
    "keep_alive": 45,
}
APP = """
async function main()TYPE {
  const [row] = await sql`SELECT current_database() AS database, current_setting('application_name') AS named`;
  const { max, max_lifetime, connect_timeout, keep_alive, ssl } = sql.options;
  const { host, servername } = sslCAST;
  console.log(JSON.stringify({ ...row, max, max_lifetime, connect_timeout, keep_alive, host, servername }));
  await sql.end();
}
void main();
"""
SCRIPT = APP.replace("TYPE", "").replace("CAST", "")
PROGRAM = APP.replace("TYPE", ": Promise<void>").replace("CAST", " as { host?: string; servername?: string }")
TYPED = "import { createSql } from './crdb_postgres.cjs';\nconst sql = createSql({ max: 1 });\nvoid sql.end();\n"
COMPILER = ["node", "node_modules/typescript/bin/tsc"]


@pytest.mark.parametrize(("kind", "module"), [("module", "nodenext"), ("commonjs", "commonjs")])
def test_postgres_js_in_typescript(node: Node, kind: str, module: str):
    skeleton = node.project(f"postgres.js, {module}", *POSTGRES, kind=kind, typescript=module)
    end = ".js" if kind == "module" else ""
    node.write("src/other.ts", "export const other: number = 1;\n")
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = f"import {{ createSql }} from './crdb_postgres{end}'; const sql = createSql()"
    assert line in skeleton.usage(run)
    assert "Proved by their own drivers" in skeleton.usage(run)
    node.write("src/index.ts", f"{line};\n{PROGRAM}")
    skeleton.command("tsc --noEmit", [*COMPILER, "--noEmit"])
    skeleton.command("tsc", COMPILER)
    assert start(skeleton, "dist/index.js") == [{**PRINTED, "servername": "localhost"}] * 3
    skeleton.command("the sample", ["node", "dist/samples/postgres-js.js"], DATABASE_URL="")
    skeleton.command("the sample with --remove", ["node", "dist/samples/postgres-js.js", "--remove"], DATABASE_URL="")
    without_url(skeleton, "dist/index.js")
    for path in [*node.folder.glob("dist/**/*.js"), node.folder / "src" / "index.ts"]:
        path.unlink()
    skeleton.offboard()


@pytest.mark.parametrize("kind", ["commonjs", "module"])
def test_postgres_js_in_javascript(node: Node, kind: str):
    skeleton = node.project(f"postgres.js, JavaScript, {kind}", *POSTGRES, kind=kind)
    run = skeleton.onboard(**SETTINGS)
    if kind == "module":
        line = "import { createSql } from './crdb_postgres.js'; const sql = createSql()"
    else:
        line = "const sql = require('./crdb_postgres.cjs').createSql()"
    assert line in skeleton.usage(run)
    node.write("index.js", f"{line};\n{SCRIPT}")
    assert start(skeleton, "index.js") == [{**PRINTED, "servername": "localhost"}] * 3
    url = next(text for text in (node.folder / ".env").read_text().splitlines() if text.startswith("DATABASE_URL="))
    address = url.partition("=")[2].strip("\"'").replace("@localhost:", "@127.0.0.1:")
    # A setting of the session stands in the URL, too.
    address += "&application_name=shop"
    done = skeleton.command("start with an address in place of a name", ["node", "index.js"], DATABASE_URL=address)
    assert json.loads(done.stdout.splitlines()[-1]) == {**PRINTED, "named": "shop", "host": "127.0.0.1"}
    without_url(skeleton, "index.js")
    if kind == "commonjs":
        node.write("typed.mts", TYPED)
        flags = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"]
        skeleton.command("tsc --strict finds types", [*COMPILER, *flags, "typed.mts"])
        (node.folder / "typed.mts").unlink()
    (node.folder / "index.js").unlink()
    skeleton.offboard()
