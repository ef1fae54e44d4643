// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Prove the connection of crdb_database.cjs: run with node in the folder of the app, whose node_modules is used
// (or the one that NODE_PATH names).
'use strict';

const path = require('node:path');
const { createRequire } = require('node:module');

const appRequire = createRequire(path.join(process.cwd(), 'probe.cjs'));
const { Client } = appRequire('pg');
const { version } = appRequire('pg/package.json');
const config = appRequire('./crdb_database.cjs');

async function main() {
  const client = new Client({ ...config, connectionTimeoutMillis: 1000 * Number(process.env.PGCONNECT_TIMEOUT ?? 15) });
  await client.connect();
  const { rows } = await client.query('SELECT current_user, current_database(), $1::INT + 1 AS answer', [41]);
  const socket = client.connection.stream;
  const result = {
    framework: 'node-postgres',
    version,
    user: rows[0].current_user,
    database: rows[0].current_database,
    answer: Number(rows[0].answer),
    tls: socket.authorized ? socket.getProtocol() : '',
    sslmode: new URL(config.connectionString).searchParams.get('sslmode') ?? '',
    options: client.connectionParameters.options ?? '',
    dbname: client.database,
  };
  await client.end();
  console.log(JSON.stringify(result));
}

main().catch((error) => {
  console.error(`node-postgres: ${error.message} ${error.code ?? ''}`.trim());
  process.exit(1);
});
