# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drizzle in projects of TypeScript and of JavaScript, with the commands of drizzle-kit."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.clients.skeletons.node import COMPILED, POOL, SETTINGS, Node, start, without_url

DRIZZLE = ("drizzle", ">=0.36,<1")
SCHEMA = """import { pgTable, text, uuid } from 'drizzle-orm/pg-core';

export const items = pgTable('crdb_skeleton_drizzle', {
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull(),
});
"""
CONFIG = """import { defineConfig } from 'drizzle-kit';
import { dbCredentials } from './src/crdb_drizzle';

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/schema.ts',
  out: './drizzle',
  dbCredentials: dbCredentials(),
});
"""
APP = """
async function main(): Promise<void> {
  await db.insert(items).values({ name: 'tea' });
  const found = await db.query.items.findFirst({ columns: { name: true } });
  const typed: string | undefined = found?.name;
  await db.delete(items);
  const options = db.$client.options as unknown as Record<string, unknown>;
  const settings = KEYS.map((key) => [key, options[key]]);
  const watched = db.$client.listenerCount('error');
  console.log(JSON.stringify({ name: typed, watched, ...Object.fromEntries(settings) }));
  await db.$client.end();
}

void main();
""".replace("KEYS", json.dumps(list(POOL)))
# drizzle-kit keeps a copy of what it imports in the folder for temporary files.
COMMANDS = ["node", "node_modules/drizzle-kit/bin.cjs"]


@pytest.mark.parametrize(("kind", "module"), [("module", "nodenext"), ("commonjs", "commonjs")])
def test_drizzle_in_typescript(node: Node, kind: str, module: str):
    skeleton = node.project(f"Drizzle, {module}", *DRIZZLE, kind=kind, typescript=module)
    end = ".js" if kind == "module" else ""
    node.write("tsconfig.json", json.dumps({"compilerOptions": {**COMPILED, "module": module}, "include": ["src"]}))
    node.write("src/schema.ts", SCHEMA)
    node.write("drizzle.config.ts", CONFIG.replace("/crdb_drizzle'", f"/crdb_drizzle{end}'"))
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = f"import {{ createPool }} from './crdb_drizzle{end}'; const db = drizzle({{ client: createPool() }})"
    used = skeleton.usage(run)
    assert line in used
    assert f"`import {{ dbCredentials }} from './src/crdb_drizzle{end}'`" in used
    assert "Proved by their own drivers" in used
    skeleton.environment["TMPDIR"] = str(node.folder.parent)
    # As in the build of an image, where nobody gives it a URL.
    (node.folder / ".env").rename(node.folder / "kept")
    skeleton.command("drizzle-kit generate without DATABASE_URL", [*COMMANDS, "generate"], DATABASE_URL="")
    failed = skeleton.command(
        "drizzle-kit migrate without DATABASE_URL fails", [*COMMANDS, "migrate"], status=1, DATABASE_URL=""
    )
    assert "url: ''" in failed.stdout
    (node.folder / "kept").rename(node.folder / ".env")
    skeleton.command("drizzle-kit check", [*COMMANDS, "check"], DATABASE_URL="")
    for _again in range(2):
        skeleton.command("drizzle-kit migrate", [*COMMANDS, "migrate"], DATABASE_URL="")
    try:
        # With the app's own schema, which is what the printed line leaves room for.
        own = line.replace("createPool() })", "createPool(), schema: { items } })")
        first = "import { drizzle } from 'drizzle-orm/node-postgres';\n"
        node.write("src/index.ts", f"{first}import {{ items }} from './schema{end}';\n{own};\n{APP}")
        compiler = ["node", "node_modules/typescript/bin/tsc"]
        skeleton.command("tsc --noEmit", [*compiler, "--noEmit"])
        skeleton.command("tsc", compiler)
        assert start(skeleton, "dist/index.js") == [{"name": "tea", "watched": 1, **POOL}] * 3
    finally:
        undo = "import { createPool } from './crdb_drizzle.js';\nconst pool = createPool();\n"
        undo += "await pool.query('DROP SCHEMA drizzle CASCADE; DROP TABLE IF EXISTS crdb_skeleton_drizzle');\n"
        node.write("dist/undo.mjs", f"{undo}await pool.end();\n")
        skeleton.command("the migration undone", ["node", "dist/undo.mjs"], DATABASE_URL="")
    skeleton.command("the sample", ["node", "dist/samples/drizzle.js"], DATABASE_URL="")
    skeleton.command("the sample with --remove", ["node", "dist/samples/drizzle.js", "--remove"], DATABASE_URL="")
    without_url(skeleton, "dist/index.js")
    for folder in ("dist", "drizzle"):
        shutil.rmtree(node.folder / folder)
    (node.folder / "src" / "index.ts").unlink()
    skeleton.offboard()


SCRIPT = """
async function main() {
  const { rows } = await db.execute(sql`SELECT current_database() AS database`);
  console.log(JSON.stringify({ ...rows[0], max: db.$client.options.max }));
  await db.$client.end();
}
main();
"""
TYPED = "import { createPool, dbCredentials } from './crdb_drizzle.cjs';\ncreatePool({ max: 1 }).end();\n"
TYPED += "const url: string = dbCredentials().url;\nconsole.log(url);\n"


@pytest.mark.parametrize("kind", ["commonjs", "module"])
def test_drizzle_in_javascript(node: Node, kind: str):
    skeleton = node.project(f"Drizzle, JavaScript, {kind}", *DRIZZLE, kind=kind)
    run = skeleton.onboard(**SETTINGS)
    if kind == "module":
        line = "import { createPool } from './crdb_drizzle.js'; const db = drizzle({ client: createPool() })"
        first = "import { sql } from 'drizzle-orm';\nimport { drizzle } from 'drizzle-orm/node-postgres';\n"
    else:
        line = "const db = drizzle({ client: require('./crdb_drizzle.cjs').createPool() })"
        first = "const { sql } = require('drizzle-orm');\n"
        first += "const { drizzle } = require('drizzle-orm/node-postgres');\n"
    assert line in skeleton.usage(run)
    node.write("index.js", f"{first}{line};\n{SCRIPT}")
    assert start(skeleton, "index.js") == [{"database": "defaultdb", "max": 7}] * 3
    without_url(skeleton, "index.js")
    if kind == "commonjs":
        node.write("typed.mts", TYPED)
        flags = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"]
        skeleton.command("tsc --strict finds types", ["node", "node_modules/typescript/bin/tsc", *flags, "typed.mts"])
        (node.folder / "typed.mts").unlink()
    (node.folder / "index.js").unlink()
    skeleton.offboard()
