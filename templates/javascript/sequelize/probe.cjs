// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Prove the connection of crdb_sequelize.cjs: run with node in the folder of the app.
'use strict';

const path = require('node:path');
const { createRequire } = require('node:module');

const appRequire = createRequire(path.join(process.cwd(), 'probe.cjs'));
const { version } = appRequire('sequelize/package.json');
const { sequelize } = appRequire('./crdb_sequelize.cjs');

async function main() {
  const connection = await sequelize.connectionManager.getConnection({ type: 'read' });
  const socket = connection.connection.stream;
  const [rows] = await sequelize.query('SELECT current_user, current_database(), CAST(:n AS INT) + 1 AS answer', {
    replacements: { n: 41 },
  });
  console.log(JSON.stringify({
    version,
    user: rows[0].current_user,
    database: rows[0].current_database,
    answer: Number(rows[0].answer),
    tls: socket.authorized ? socket.getProtocol() : '',
  }));
  sequelize.connectionManager.releaseConnection(connection);
  await sequelize.close();
}

main().catch((error) => {
  console.error(`sequelize: ${error.message} ${error.original?.code ?? ''}`.trim());
  process.exit(1);
});
