// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Prove the connection that the package crdbpgx makes: built in the app's module, run in the app's folder.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"MODULE/crdbpgx"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "pgx:", err)
	os.Exit(1)
}

func version(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version[1:]
		}
	}
	return ""
}

func tlsVersion(connection interface{}) string {
	if encrypted, ok := connection.(*tls.Conn); ok && len(encrypted.ConnectionState().VerifiedChains) > 0 {
		return map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[encrypted.ConnectionState().Version]
	}
	return ""
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit())
	defer cancel()
	var user, database, protocol string
	var answer int
	connection, err := crdbpgx.Connect(ctx)
	if err != nil {
		fail(err)
	}
	defer connection.Close(ctx)
	protocol = tlsVersion(connection.PgConn().Conn())
	if err := connection.QueryRow(ctx, "SELECT current_user::text, current_database()::text, $1::INT + 1", 41).Scan(&user, &database, &answer); err != nil {
		fail(err)
	}
	result := map[string]interface{}{
		"version": version("github.com/jackc/pgx/v4"), "user": user, "database": database, "answer": answer, "tls": protocol,
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func limit() time.Duration {
	if seconds, err := time.ParseDuration(os.Getenv("PGCONNECT_TIMEOUT") + "s"); err == nil {
		return seconds
	}
	return 15 * time.Second
}
