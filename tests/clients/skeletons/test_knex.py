# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knex in projects of TypeScript and of JavaScript, with the commands of knex."""

from __future__ import annotations

import shutil

import pytest

from tests.clients.skeletons.node import SETTINGS, Node, start, without_url
from tests.clients.skeletons.project import Skeleton

NEW, OLD = ">=3.2,<4", ">=3.0.1,<3.2"
UP = """
  await db.schema.createTable('crdb_skeleton_knex', (table) => {
    table.uuid('id').primary().defaultTo(db.fn.uuid());
    table.text('name').notNullable();
  });
"""
DOWN = "await db.schema.dropTable('crdb_skeleton_knex');"
COMMONJS_MIGRATION = (
    f"exports.up = async function up(db) {{{UP}}};\nexports.down = async function down(db) {{ {DOWN} }};\n"
)
MODULE_MIGRATION = f"export async function up(db) {{{UP}}}\nexport async function down(db) {{ {DOWN} }}\n"
TYPED_MIGRATION = (
    f"import type {{ Knex }} from 'knex';\n\nexport async function up(db: Knex): Promise<void> {{{UP}}}\n\n"
    f"export async function down(db: Knex): Promise<void> {{ {DOWN} }}\n"
)
TABLES = "{ tableName: 'crdb_skeleton_knex_migrations', directory: './migrations', loadExtensions: ['.js'] }"
APP = """
async function main()TYPE {
  await db('crdb_skeleton_knex').insert({ name: 'tea' });
  const { name } = await db('crdb_skeleton_knex').first('name');
  await db('crdb_skeleton_knex').del();
  const { min, max, maxConnectionLifetimeMillis: lifetime, maxConnectionLifetimeJitterMillis: jitter } = pool;
  const client = await db.client.acquireConnection();
  const connecting = [client._connectionTimeoutMillis, client.connection._keepAliveInitialDelayMillis];
  await db.client.releaseConnection(client);
  await db.destroy();
  console.log(JSON.stringify({ name, min, max, lifetime, jitter, connecting }));
}
main();
"""
POOL = {"name": "tea", "min": 7, "max": 7, "lifetime": 600000, "jitter": 60000, "connecting": [9000, 45000]}
OLD_POOL = {"name": "tea", "min": 0, "max": 7, "connecting": [9000, 45000]}
UNDO = """
const undo = knex(knexConfig());
for (const table of ['crdb_skeleton_knex_migrations', 'crdb_skeleton_knex_migrations_lock']) {
  await undo.schema.dropTable(table);
}
await undo.destroy();
"""
COMPILER = ["node", "node_modules/typescript/bin/tsc"]
TYPED = "import { knex } from 'knex';\nimport { knexConfig } from './crdb_knex.cjs';\n"
TYPED += "void knex(knexConfig({ debug: false })).destroy();\n"


def migrate(skeleton: Skeleton, knexfile: str, undo: str) -> list[dict[str, object]]:
    """The commands of knex with the project's knexfile, the program in between, and everything undone."""
    cli = ["node", str(skeleton.folder / "node_modules/knex/bin/cli.js")]
    named = ["--knexfile", knexfile]
    done = skeleton.command("knex migrate:latest", [*cli, "migrate:latest", *named], DATABASE_URL="")
    assert "Batch 1 run: 1 migrations" in done.stdout
    done = skeleton.command("knex migrate:latest again", [*cli, "migrate:latest", *named], cwd="docs", DATABASE_URL="")
    assert "Already up to date" in done.stdout
    done = skeleton.command("knex migrate:status", [*cli, "migrate:status", *named], DATABASE_URL="")
    assert "Found 1 Completed Migration" in done.stdout
    try:
        return start(skeleton, "dist/index.js" if "dist" in knexfile else "index.js")
    finally:
        skeleton.command("knex migrate:rollback", [*cli, "migrate:rollback", *named], DATABASE_URL="")
        skeleton.command("knex's own tables dropped", ["node", undo], DATABASE_URL="")


@pytest.mark.parametrize(("kind", "module"), [("module", "nodenext"), ("commonjs", "commonjs")])
def test_knex_in_typescript(node: Node, kind: str, module: str):
    skeleton = node.project(f"Knex, {module}", "knex", NEW, kind=kind, typescript=module)
    end = ".js" if kind == "module" else ""
    node.write("src/other.ts", "export const other: number = 1;\n")
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = f"import {{ knexConfig }} from './crdb_knex{end}'; const db = knex(knexConfig())"
    assert line in skeleton.usage(run)
    assert "src/knexfile.ts `export default knexConfig();`" in skeleton.usage(run)
    assert "Proved by their own drivers" in skeleton.usage(run)
    configured = (
        f"import {{ knexConfig }} from './crdb_knex{end}';\n\nexport default knexConfig({{ migrations: {TABLES} }});\n"
    )
    node.write("src/knexfile.ts", configured)
    (node.folder / "src" / "migrations").mkdir()
    node.write("src/migrations/1_items.ts", TYPED_MIGRATION)
    pool = "const pool: Record<string, unknown> = { ...knexConfig().pool };\n"
    first = "import pkg from 'knex';\nconst { knex } = pkg;\n" if end else "import { knex } from 'knex';\n"
    assert first.splitlines()[0].rstrip(";") in skeleton.usage(run)
    program = f"{first}{line};\n{pool}{APP.replace('TYPE', ': Promise<void>')}"
    node.write("src/index.ts", program.replace("\nmain();", "\nvoid main();"))
    skeleton.command("tsc --noEmit", [*COMPILER, "--noEmit"])
    skeleton.command("tsc", COMPILER)
    node.write("dist/undo.mjs", f"import knex from 'knex';\nimport {{ knexConfig }} from './crdb_knex.js';\n{UNDO}")
    (node.folder / "docs").mkdir()
    assert migrate(skeleton, f"{node.folder}/dist/knexfile.js", "dist/undo.mjs") == [POOL] * 3
    skeleton.command("the sample", ["node", "dist/samples/knex.js"], DATABASE_URL="")
    skeleton.command("the sample with --remove", ["node", "dist/samples/knex.js", "--remove"], DATABASE_URL="")
    without_url(skeleton, "dist/index.js")
    shutil.rmtree(node.folder / "dist")
    shutil.rmtree(node.folder / "src" / "migrations")
    for name in ("index", "knexfile"):
        (node.folder / "src" / f"{name}.ts").unlink()
    skeleton.offboard()


@pytest.mark.parametrize(("kind", "versions"), [("commonjs", NEW), ("module", NEW), ("commonjs", OLD)])
def test_knex_in_javascript(node: Node, kind: str, versions: str):
    skeleton = node.project(f"Knex {versions}, JavaScript, {kind}", "knex", versions, kind=kind)
    run = skeleton.onboard(**SETTINGS)
    module = kind == "module"
    own = f"knexConfig({{ migrations: {TABLES} }})"
    if module:
        line = "import { knexConfig } from './crdb_knex.js'; const db = knex(knexConfig())"
        imports = "import { knexConfig } from './crdb_knex.js';\n"
        first = "import knex from 'knex';\n"
        node.write("knexfile.js", f"{imports}\nexport default {own};\n")
    else:
        line = "const db = require('knex')(require('./crdb_knex.cjs').knexConfig())"
        imports = "const { knexConfig } = require('./crdb_knex.cjs');\n"
        first = imports
        node.write("knexfile.js", f"{imports}\nmodule.exports = {own};\n")
    assert line in skeleton.usage(run)
    node.write("migrations/1_items.js", MODULE_MIGRATION if module else COMMONJS_MIGRATION)
    node.write("index.js", f"{first}{line};\nconst {{ pool }} = knexConfig();\n{APP.replace('TYPE', '')}")
    written = "crdb_knex.js" if module else "crdb_knex.cjs"
    node.write("undo.mjs", f"import knex from 'knex';\nimport {{ knexConfig }} from './{written}';\n{UNDO}")
    (node.folder / "docs").mkdir()
    assert migrate(skeleton, f"{node.folder}/knexfile.js", "undo.mjs") == [POOL if versions == NEW else OLD_POOL] * 3
    without_url(skeleton, "index.js")
    if not module:
        node.write("typed.mts", TYPED)
        flags = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"]
        skeleton.command("tsc --strict finds types", [*COMPILER, *flags, "typed.mts"])
        (node.folder / "typed.mts").unlink()
    shutil.rmtree(node.folder / "migrations")
    for name in ("index.js", "knexfile.js", "undo.mjs"):
        (node.folder / name).unlink()
    skeleton.offboard()
