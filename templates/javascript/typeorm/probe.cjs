// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Prove the connection that TypeORM makes from its configuration: run with node in the folder of the app.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');

// Where TypeORM 0.2 looks for ormconfig, wherever its own package lies.
process.env.APP_ROOT_PATH ??= process.cwd();
const appRequire = createRequire(path.join(process.cwd(), 'probe.cjs'));
// Its package exports no package.json.
const { version } = JSON.parse(fs.readFileSync(path.join(path.dirname(appRequire.resolve('typeorm')), 'package.json')));

async function connect() {
  if (fs.existsSync('crdb_datasource.cjs')) return appRequire('./crdb_datasource.cjs').AppDataSource.initialize();
  if (fs.existsSync('ormconfig.ts')) appRequire('ts-node').register({ transpileOnly: true });
  const { getConnectionOptions, createConnection } = appRequire('typeorm');
  return createConnection(await getConnectionOptions());
}

async function main() {
  const dataSource = await connect();
  const runner = dataSource.createQueryRunner();
  const client = await runner.connect();
  const socket = client.connection.stream;
  const rows = await runner.query('SELECT current_user, current_database(), $1::INT + 1 AS answer', [41]);
  console.log(JSON.stringify({
    version,
    user: rows[0].current_user,
    database: rows[0].current_database,
    answer: Number(rows[0].answer),
    tls: socket.authorized ? socket.getProtocol() : '',
  }));
  await runner.release();
  await (dataSource.destroy ?? dataSource.close).call(dataSource);
}

main().catch((error) => {
  console.error(`typeorm: ${error.message} ${error.code ?? ''}`.trim());
  process.exit(1);
});
