# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kysely in projects of TypeScript and of JavaScript, with its own migrator."""

from __future__ import annotations

import json

import pytest

from tests.clients.skeletons.node import POOL, SETTINGS, Node, start, without_url

KYSELY = ("kysely", ">=0.27,<1")
DATABASE = """import type { Generated } from 'kysely';

export interface Database {
  crdb_skeleton_kysely: { id: Generated<string>; name: string };
}
"""
MIGRATE = """import { Migrator } from 'kysely/migration';
import type { Kysely } from 'kysely';
import type { MigrationProvider } from 'kysely/migration';
import { db } from './dbEND';

const provider: MigrationProvider = {
  getMigrations: async () => ({
    '2026_items': {
      up: async (own: Kysely<unknown>) => {
        await own.schema
          .createTable('crdb_skeleton_kysely')
          .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(own.fn('gen_random_uuid')))
          .addColumn('name', 'text', (column) => column.notNull())
          .execute();
      },
      down: async (own: Kysely<unknown>) => own.schema.dropTable('crdb_skeleton_kysely').execute(),
    },
  }),
};

async function main(): Promise<void> {
  const migrator = new Migrator({
    db,
    provider,
    migrationTableName: 'crdb_skeleton_migration',
    migrationLockTableName: 'crdb_skeleton_migration_lock',
  });
  const down = process.argv[2] === 'down';
  const { error, results } = down ? await migrator.migrateDown() : await migrator.migrateToLatest();
  if (error) throw error;
  console.log(JSON.stringify(results?.map((result) => [result.migrationName, result.direction, result.status])));
  if (down) {
    for (const table of ['crdb_skeleton_migration', 'crdb_skeleton_migration_lock']) {
      await db.schema.dropTable(table).execute();
    }
  }
  await db.destroy();
}

void main();
"""
APP = """import { db } from './dbEND';
import { createPool } from './crdb_kyselyEND';

async function main(): Promise<void> {
  await db.insertInto('crdb_skeleton_kysely').values({ name: 'tea' }).execute();
  const { name } = await db.selectFrom('crdb_skeleton_kysely').select('name').executeTakeFirstOrThrow();
  await db.deleteFrom('crdb_skeleton_kysely').execute();
  await db.destroy();
  const pool = createPool();
  const options = pool.options as unknown as Record<string, unknown>;
  const settings = KEYS.map((key) => [key, options[key]]);
  console.log(JSON.stringify({ name, watched: pool.listenerCount('error'), ...Object.fromEntries(settings) }));
}

void main();
""".replace("KEYS", json.dumps(list(POOL)))
COMPILER = ["node", "node_modules/typescript/bin/tsc"]


# Its migrator is in kysely/migration, which TypeScript finds with nodenext only.
@pytest.mark.parametrize("kind", ["module", "commonjs"])
def test_kysely_in_typescript(node: Node, kind: str):
    skeleton = node.project(f"Kysely, TypeScript, {kind}", *KYSELY, kind=kind, typescript="nodenext")
    end = ".js" if kind == "module" else ""
    node.write("src/database.ts", DATABASE)
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = (
        f"import {{ createDialect }} from './crdb_kysely{end}';"
        " const db = new Kysely<Database>({ dialect: createDialect() })"
    )
    assert line in skeleton.usage(run)
    assert "Proved by their own drivers" in skeleton.usage(run)
    imports = f"import {{ Kysely }} from 'kysely';\nimport type {{ Database }} from './database{end}';\n"
    node.write("src/db.ts", f"{imports}{line};\nexport {{ db }};\n")
    node.write("src/migrate.ts", MIGRATE.replace("END", end))
    node.write("src/index.ts", APP.replace("END", end))
    skeleton.command("tsc --noEmit", [*COMPILER, "--noEmit"])
    skeleton.command("tsc", COMPILER)
    migrated = [
        json.loads(skeleton.command(title, ["node", "dist/migrate.js"], DATABASE_URL="").stdout)
        for title in ("migrateToLatest", "migrateToLatest again")
    ]
    assert migrated == [[["2026_items", "Up", "Success"]], []]
    assert start(skeleton, "dist/index.js") == [{"name": "tea", "watched": 1, **POOL}] * 3
    done = skeleton.command("migrateDown", ["node", "dist/migrate.js", "down"], DATABASE_URL="")
    assert json.loads(done.stdout) == [["2026_items", "Down", "Success"]]
    skeleton.command("the sample", ["node", "dist/samples/kysely.js"], DATABASE_URL="")
    skeleton.command("the sample with --remove", ["node", "dist/samples/kysely.js", "--remove"], DATABASE_URL="")
    without_url(skeleton, "dist/index.js")
    for path in [
        *node.folder.glob("dist/**/*.js"),
        *(node.folder / f"src/{name}.ts" for name in ("db", "index", "migrate")),
    ]:
        path.unlink()
    skeleton.offboard()


SCRIPT = """
async function main() {
  const { rows } = await sql`SELECT current_database() AS database`.execute(db);
  console.log(JSON.stringify(rows[0]));
  await db.destroy();
}
main();
"""
TYPED = "import { Kysely } from 'kysely';\nimport { createDialect } from './crdb_kysely.cjs';\n"
TYPED += "void new Kysely<object>({ dialect: createDialect({ max: 1 }) }).destroy();\n"


@pytest.mark.parametrize("kind", ["commonjs", "module"])
def test_kysely_in_javascript(node: Node, kind: str):
    skeleton = node.project(f"Kysely, JavaScript, {kind}", *KYSELY, kind=kind)
    run = skeleton.onboard(**SETTINGS)
    if kind == "module":
        line = "import { createDialect } from './crdb_kysely.js'; const db = new Kysely({ dialect: createDialect() })"
        first = "import { Kysely, sql } from 'kysely';\n"
    else:
        line = "const db = new Kysely({ dialect: require('./crdb_kysely.cjs').createDialect() })"
        first = "const { Kysely, sql } = require('kysely');\n"
    assert line in skeleton.usage(run)
    node.write("index.js", f"{first}{line};\n{SCRIPT}")
    assert start(skeleton, "index.js") == [{"database": "defaultdb"}] * 3
    without_url(skeleton, "index.js")
    if kind == "commonjs":
        node.write("typed.mts", TYPED)
        flags = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"]
        skeleton.command("tsc --strict finds types", [*COMPILER, *flags, "typed.mts"])
        (node.folder / "typed.mts").unlink()
    (node.folder / "index.js").unlink()
    skeleton.offboard()
