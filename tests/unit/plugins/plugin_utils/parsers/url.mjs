// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Reads a JSON list of URLs on standard input and prints what a Node client sees in each: the platform's own URL
// parser, and every part decoded with decodeURIComponent, as pg-connection-string does.

import { readFileSync } from "node:fs";

const seen = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  const url = new URL(text);
  return {
    scheme: url.protocol.slice(0, -1),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port,
    database: decodeURIComponent(url.pathname.slice(1)),
    query: Object.fromEntries(url.searchParams),
  };
});
process.stdout.write(JSON.stringify(seen));
