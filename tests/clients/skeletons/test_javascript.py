# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Node.js projects: CommonJS, ES modules, TypeScript compiled to dist/, and one bundled by esbuild."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.clients.skeletons.node import COMPILED, POOL, SETTINGS, Node, start, without_url
from tests.clients.skeletons.project import Skeleton

PRINT = """
  const { rows } = await pool.query('SELECT current_database() AS database');
  const options = POOL.options;
  const settings = KEYS.map((key) => [key, options[key]]);
  console.log(JSON.stringify({ ...rows[0], ...Object.fromEntries(settings) }));
  await pool.end();
""".replace("KEYS", json.dumps(list(POOL)))
COMMONJS = (
    "const { Pool } = require('pg');\n%s;\n\nasync function main() {" + PRINT.replace("POOL", "pool") + "}\nmain();\n"
)
MODULE = "import pg from 'pg';\n%s;\n\nasync function main() {" + PRINT.replace("POOL", "pool") + "}\nmain();\n"
TYPED = (
    "async function main(): Promise<void> {" + PRINT.replace("POOL", "(pool as unknown as Live)") + "}\nvoid main();\n"
)
TYPED = "type Live = { options: Record<string, unknown> };\n" + TYPED
TYPES = "import { Pool } from 'pg';\nimport config = require('./crdb_database.cjs');\nnew Pool(config);\n"
NODE_TEST = """
%s
test('the app starts', () => {
  const done = spawnSync(process.execPath, ['PROGRAM'], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
});
"""
IMPORTS = {
    "commonjs": "const assert = require('node:assert');\nconst { spawnSync } = require('node:child_process');\n"
    "const { test } = require('node:test');",
    "module": "import assert from 'node:assert';\nimport { spawnSync } from 'node:child_process';\n"
    "import { test } from 'node:test';",
}


PG = ("node-postgres", ">=8,<9")


@pytest.mark.parametrize("kind", ["commonjs", "module"])
def test_node_postgres_in_javascript(node: Node, kind: str):
    skeleton = node.project(f"npm init, {kind}", *PG, kind=kind)
    run = skeleton.onboard(**SETTINGS)
    if kind == "module":
        line = "import { poolConfig } from './crdb_database.js'; const pool = new pg.Pool(poolConfig)"
        node.write("index.js", MODULE % line)
    else:
        line = "const pool = new Pool(require('./crdb_database.cjs'))"
        node.write("index.js", COMMONJS % line)
    assert line in skeleton.usage(run)
    node.write("test/app.test.js", (NODE_TEST % IMPORTS[kind]).replace("PROGRAM", "index.js"))
    assert start(skeleton, "index.js") == [{"database": "defaultdb", **POOL}] * 3
    skeleton.command("node --test", ["node", "--test"])
    without_url(skeleton, "index.js")
    if kind == "commonjs":
        node.write("typed.cts", TYPES)
        flags = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"]
        skeleton.command("tsc --strict finds types", ["node", "node_modules/typescript/bin/tsc", *flags, "typed.cts"])
        (node.folder / "typed.cts").unlink()
    (node.folder / "index.js").unlink()
    (node.folder / "test" / "app.test.js").unlink()
    skeleton.offboard()


@pytest.mark.parametrize(
    ("kind", "module"), [("commonjs", "commonjs"), ("module", "nodenext"), ("commonjs", "nodenext")]
)
def test_node_postgres_in_typescript(node: Node, kind: str, module: str):
    skeleton = node.project(f"TypeScript, {module}, {kind}", *PG, kind=kind, typescript=module)
    node.write("src/other.ts", "export const other: number = 1;\n")
    run = skeleton.onboard(samples=True, **SETTINGS)
    if kind == "module":
        first = "import pg from 'pg';\n"
        line = "import { poolConfig } from './crdb_database.js'; const pool = new pg.Pool(poolConfig)"
    else:
        first = "import { Pool } from 'pg';\n"
        line = "import { poolConfig } from './crdb_database'; const pool = new Pool(poolConfig)"
    assert line in skeleton.usage(run)
    node.write("src/index.ts", f"{first}{line};\n{TYPED}")
    compiler = ["node", "node_modules/typescript/bin/tsc"]
    skeleton.command("tsc --noEmit", [*compiler, "--noEmit"])
    skeleton.command("tsc", compiler)
    assert start(skeleton, "dist/index.js") == [{"database": "defaultdb", **POOL}] * 3
    for _number in range(12):
        done = skeleton.command("the sample", ["node", "dist/samples/node-postgres.js"], DATABASE_URL="")
    assert "account 1: " in done.stdout
    skeleton.command("the sample with --remove", ["node", "dist/samples/node-postgres.js", "--remove"])
    without_url(skeleton, "dist/index.js")
    # In another folder, the line does not compile.
    node.write("src/deep/wrong.ts", f"{first}{line};\nvoid pool;\n")
    skeleton.command("tsc with the line in another folder fails", [*compiler, "--noEmit"], status=2)
    (node.folder / "src" / "deep" / "wrong.ts").unlink()
    if kind == "module":
        bundle = ["node_modules/.esbuild", "src/index.ts", "--bundle", "--platform=node"]
        bundle[0] = str(node.folder / "node_modules" / "esbuild" / "bin" / "esbuild")
        outside = node.folder.parent / "bundle.cjs"
        skeleton.command("esbuild", ["node", *bundle, "--outfile=build/app.cjs"])
        assert start_in(skeleton, "build/app.cjs", ".", "src") == [{"database": "defaultdb", **POOL}] * 2
        (node.folder / "build" / "app.cjs").rename(outside)
        assert start_in(skeleton, str(outside), ".", "src") == [{"database": "defaultdb", **POOL}] * 2
    for path in [*node.folder.glob("dist/**/*.js"), node.folder / "src" / "index.ts"]:
        path.unlink()
    skeleton.offboard()


def start_in(skeleton: Skeleton, program: str, *folders: str) -> list[dict[str, object]]:
    """What a bundle prints when it is started in these folders of the project."""
    path = str(skeleton.folder / program)
    done = [skeleton.command(f"the bundle from {cwd}", ["node", path], cwd=cwd, DATABASE_URL="") for cwd in folders]
    return [json.loads(one.stdout.splitlines()[-1]) for one in done]


MODEL = """
const Item = sequelize.define('crdb_skeleton_item', { name: DataTypes.STRING }, { timestamps: false });
async function main() {
  await Item.sync();
  await Item.create({ name: 'tea' });
  const { name } = await Item.findOne();
  const connection = await sequelize.connectionManager.getConnection({ type: 'read' });
  const now = Date.now;
  const fresh = sequelize.options.pool.validate(connection);
  Date.now = () => now() + 601000;
  const old = sequelize.options.pool.validate(connection);
  Date.now = now;
  const keepAlive = connection.connection._keepAlive;
  const timeout = connection._connectionTimeoutMillis;
  sequelize.connectionManager.releaseConnection(connection);
  await Item.drop();
  await sequelize.close();
  const limit = timeout || sequelize.options.pool.acquire;
  console.log(JSON.stringify({ name, max: sequelize.options.pool.max, fresh, old, keepAlive, limit }));
}
main();
"""


@pytest.mark.parametrize(
    ("kind", "versions", "installed"),
    [("commonjs", ">=6.10,<7", "6.37.7"), ("module", ">=6.10,<7", "6.37.7"), ("commonjs", ">=5,<6.10", "6.9.0")],
)
def test_sequelize(node: Node, kind: str, versions: str, installed: str):
    skeleton = node.project(f"Sequelize {installed}, {kind}", "sequelize", versions, kind=kind)
    run = skeleton.onboard(samples=True, **SETTINGS)
    written = (node.folder / ("crdb_sequelize.js" if kind == "module" else "crdb_sequelize.cjs")).read_text()
    assert ("Sequelize up to 6.9" in written) == (installed == "6.9.0")
    if kind == "module":
        line = "import { sequelize } from './crdb_sequelize.js'"
        node.write("index.js", f"{line};\nimport {{ DataTypes }} from 'sequelize';{MODEL}")
    else:
        line = "const { sequelize } = require('./crdb_sequelize.cjs')"
        node.write("index.js", f"{line};\nconst {{ DataTypes }} = require('sequelize');{MODEL}")
    assert line in skeleton.usage(run)
    assert (
        start(skeleton, "index.js")
        == [{"name": "tea", "max": 7, "fresh": True, "old": False, "keepAlive": True, "limit": 9000}] * 3
    )
    sample = "samples/sequelize.mjs" if kind == "module" else "samples/sequelize.cjs"
    assert f"sequelize@{installed}" in (node.folder / sample).read_text()
    skeleton.command("the sample", ["node", sample])
    skeleton.command("the sample with --remove", ["node", sample, "--remove"])
    without_url(skeleton, "index.js")
    (node.folder / "index.js").unlink()
    skeleton.offboard()


def test_sequelize_in_typescript(node: Node):
    skeleton = node.project("Sequelize, TypeScript", "sequelize", ">=6.10,<7", kind="module", typescript="nodenext")
    node.write("src/other.ts", "export const other: number = 1;\n")
    skeleton.onboard(samples=True, **SETTINGS)
    compiler = ["node", "node_modules/typescript/bin/tsc"]
    skeleton.command("tsc --noEmit", [*compiler, "--noEmit"])
    skeleton.command("tsc", compiler)
    skeleton.command("the sample", ["node", "dist/samples/sequelize.js"])
    skeleton.command("the sample with --remove", ["node", "dist/samples/sequelize.js", "--remove"])
    for path in node.folder.glob("dist/**/*.js"):
        path.unlink()
    skeleton.offboard()


ENTITY = """import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('crdb_skeleton_items')
export class Item {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('text')
  name!: string;
}
"""
MIGRATION = """import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Items1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const columns = 'id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name TEXT NOT NULL';
    await runner.query(`CREATE TABLE crdb_skeleton_items (${columns})`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE crdb_skeleton_items');
  }
}
"""
APP = """
async function main(): Promise<void> {
  await AppDataSource.initialize();
  const items = AppDataSource.getRepository(Item);
  await items.save(items.create({ name: 'tea' }));
  const found = await items.findOneByOrFail({ name: 'tea' });
  const pool = (AppDataSource.driver as unknown as { master: { options: Record<string, unknown> } }).master.options;
  console.log(JSON.stringify({
    name: found.name, max: pool['max'], maxLifetimeSeconds: pool['maxLifetimeSeconds'],
    connectionTimeoutMillis: pool['connectionTimeoutMillis'],
    keepAliveInitialDelayMillis: pool['keepAliveInitialDelayMillis'],
  }));
  await AppDataSource.destroy();
}

void main();
"""


@pytest.mark.parametrize(
    ("kind", "module", "versions"),
    [("module", "nodenext", ">=1,<2"), ("commonjs", "commonjs", ">=1,<2"), ("commonjs", "commonjs", ">=0.3,<1")],
)
def test_typeorm_with_an_entity_and_a_migration(node: Node, kind: str, module: str, versions: str):
    skeleton = node.project(f"TypeORM {versions}, {module}", "typeorm", versions, kind=kind, typescript=module)
    end = ".js" if kind == "module" else ""
    node.write("src/item.ts", ENTITY)
    node.write("src/items.ts", MIGRATION)
    run = skeleton.onboard(samples=True, **SETTINGS)
    printed = (
        f"import {{ createDataSource }} from './crdb_datasource{end}';"
        " export const AppDataSource = createDataSource({ entities: [], migrations: [] })"
    )
    assert printed in skeleton.usage(run)
    line = printed.replace("entities: []", "entities: [Item]").replace(
        "migrations: []", "migrations: [Items1700000000000]"
    )
    imports = f"import {{ Item }} from './item{end}';\nimport {{ Items1700000000000 }} from './items{end}';\n"
    node.write("src/data-source.ts", f"{imports}{line};\n")
    node.write(
        "src/index.ts",
        f"import {{ AppDataSource }} from './data-source{end}';\nimport {{ Item }} from './item{end}';\n{APP}",
    )
    compiler = ["node", "node_modules/typescript/bin/tsc"]
    skeleton.command("tsc --noEmit", [*compiler, "--noEmit"])
    skeleton.command("tsc", compiler)
    cli = ["node", "node_modules/typeorm/cli.js"]
    source = ["-d", "dist/data-source.js"]
    skeleton.command("typeorm migration:run", [*cli, "migration:run", *source])
    assert start(skeleton, "dist/index.js") == [{"name": "tea", **POOL}] * 3
    done = skeleton.command("typeorm migration:show", [*cli, "migration:show", *source])
    assert "[X]" in done.stdout
    skeleton.command("typeorm migration:revert", [*cli, "migration:revert", *source])
    skeleton.command("the sample", ["node", "dist/samples/typeorm.js"])
    skeleton.command("the sample with --remove", ["node", "dist/samples/typeorm.js", "--remove"])
    text = (node.folder / "src" / "crdb_datasource.ts").read_text()
    assert "synchronize" not in text
    assert "dropSchema" not in text
    without_url(skeleton, "dist/index.js")
    for path in [
        *node.folder.glob("dist/**/*.js"),
        node.folder / "src" / "data-source.ts",
        node.folder / "src" / "index.ts",
    ]:
        path.unlink()
    skeleton.offboard()


PRISMA_SCHEMA = """generator client {
  provider = "prisma-client"
  output   = "../src/generated"
}

datasource db {
  provider = "cockroachdb"
}

model Item {
  id   String @id @default(uuid())
  name String

  @@map("crdb_skeleton_prisma")
}
"""
PRISMA_CONFIG = """import { defineConfig } from 'prisma/config';
import { datasource } from './src/crdb_prisma';

export default defineConfig({
  schema: 'prisma/schema.prisma',
  datasource: datasource(),
});
"""
PRISMA_APP = """
async function main(): Promise<void> {
  await prisma.$executeRaw`CREATE TABLE IF NOT EXISTS crdb_skeleton_prisma (id TEXT PRIMARY KEY, name TEXT NOT NULL)`;
  await prisma.item.create({ data: { name: 'tea' } });
  const { name } = await prisma.item.findFirstOrThrow({ where: { name: 'tea' } });
  await prisma.$transaction([prisma.item.deleteMany(), prisma.$executeRaw`DROP TABLE crdb_skeleton_prisma`]);
  await prisma.$disconnect();
  const pool = (await createAdapter().connect()).underlyingDriver();
  const settings = KEYS.map((key) => [key, (pool.options as unknown as Record<string, unknown>)[key]]);
  console.log(JSON.stringify({ name, ...Object.fromEntries(settings) }));
  await pool.end();
}

void main();
""".replace("KEYS", json.dumps(list(POOL)))
# What `prisma generate` would otherwise download, and does not use.
NO_DOWNLOAD = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "PRISMA_HIDE_UPDATE_MESSAGE": "1", "CHECKPOINT_DISABLE": "1"}
PRISMA = ("prisma", ">=7,<8")


@pytest.mark.parametrize(("kind", "module"), [("module", "nodenext"), ("commonjs", "commonjs")])
def test_prisma_with_a_generated_client(node: Node, kind: str, module: str):
    skeleton = node.project(f"Prisma, {module}", *PRISMA, kind=kind, typescript=module)
    end = ".js" if kind == "module" else ""
    config = {"compilerOptions": {**COMPILED, "module": module}, "include": ["src"]}
    node.write("tsconfig.json", json.dumps(config))
    node.write("prisma/schema.prisma", PRISMA_SCHEMA)
    node.write("prisma.config.ts", PRISMA_CONFIG.replace("./src/crdb_prisma'", f"./src/crdb_prisma{end}'"))
    node.write("src/other.ts", "export const other: number = 1;\n")
    run = skeleton.onboard(**SETTINGS)
    line = f"import {{ createAdapter }} from './crdb_prisma{end}';"
    line += " const prisma = new PrismaClient({ adapter: createAdapter() })"
    assert line in skeleton.usage(run)
    assert "Proved by their own drivers" in skeleton.usage(run)
    cli = ["node", "node_modules/prisma/build/index.js"]
    skeleton.command("prisma validate", [*cli, "validate"], **NO_DOWNLOAD)
    skeleton.command("prisma generate", [*cli, "generate"], **NO_DOWNLOAD, DATABASE_URL="")
    # As in the build of an image, where nobody gives it a URL.
    (node.folder / ".env").rename(node.folder / "kept")
    skeleton.command("prisma generate without DATABASE_URL", [*cli, "generate"], **NO_DOWNLOAD, DATABASE_URL="")
    (node.folder / "kept").rename(node.folder / ".env")
    client = f"import {{ PrismaClient }} from './generated/client{end}';\n"
    node.write("src/index.ts", f"{client}{line};\n{PRISMA_APP}")
    compiler = ["node", "node_modules/typescript/bin/tsc"]
    skeleton.command("tsc --noEmit", [*compiler, "--noEmit"])
    skeleton.command("tsc", compiler)
    assert start(skeleton, "dist/index.js") == [{"name": "tea", **POOL}] * 3
    without_url(skeleton, "dist/index.js")
    engine = "import { datasource } from './crdb_prisma.js';\nconsole.log(datasource().url);\n"
    node.write("dist/engine.mjs", engine)
    url = skeleton.command("the URL of the prisma commands", ["node", "dist/engine.mjs"], DATABASE_URL="").stdout
    query = parse_qs(urlsplit(url.strip()).query)
    assert (query["sslmode"], query["sslaccept"]) == (["require"], ["strict"])
    assert Path(query["sslcert"][0]).is_file()
    assert query["options"][0].startswith("--cluster=")
    # The prisma commands keep what they compiled of prisma.config.ts and of what it imports.
    for folder in ("dist", "src/generated", "node_modules/.cache"):
        shutil.rmtree(node.folder / folder)
    (node.folder / "src" / "index.ts").unlink()
    skeleton.offboard()
