# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every input that is refused, with its part and message, and every form of the guides that is read.

Needs no pytest: ``python test_connection_table.py`` runs the same table under any Python of a target.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.crdb.onboard.plugins.plugin_utils._model import connection  # noqa: E402

# A password in a bad case is made of these words only, and none of them may come out again.
CANARIES = ("hunter", "tiger", "walrus")
RID = "funky-skunk-123"
SNI = "funky-skunk-123.6wr.cockroachlabs.cloud"
FREE = "free-tier5.gcp-europe-west1.cockroachlabs.cloud"
DEDICATED = "blue-dog-5bct.gcp-us-east4.cockroachlabs.cloud"
UUID = "35c4abb2-bb66-46d7-afed-25ebef5ed2aa"
GOOD_URL = f"postgresql://max:hunter@{SNI}:26257/defaultdb?sslmode=verify-full"

BAD_URLS: list[tuple[str, str, str]] = [
    # scheme
    (f"mysql://max:hunter@{SNI}/defaultdb", "scheme", "'mysql' is not known: use one of postgresql"),
    ("https://cockroachlabs.cloud/cluster/x", "scheme", "'https' is not known"),
    (f"cockroachdb+pymysql://max:hunter@{SNI}/db", "scheme", "'cockroachdb+pymysql' is not known"),
    (f"jdbc:postgres://{SNI}/db?user=max", "scheme", "'jdbc:postgres' is not known: use jdbc:postgresql"),
    (f"max:hunter@{SNI}:26257/defaultdb", "scheme", "does not begin with a scheme"),
    (f"postgresql:max:hunter@{SNI}", "scheme", "does not begin with a scheme"),
    ("jdbc:postgresql:defaultdb", "host", "the JDBC URL has no host"),
    # what was copied along
    ("", "url", "empty or not text"),
    (f" {GOOD_URL}", "url", "begins or ends with a space or line break"),
    (f"{GOOD_URL}\n", "url", "begins or ends with a space or line break"),
    (f"\ufeff{GOOD_URL}", "url", "begins or ends with a space or line break"),
    (f"'{GOOD_URL}'", "url", "begins or ends with a quote"),
    (f'"{GOOD_URL}"', "url", "begins or ends with a quote"),
    (f"\u201c{GOOD_URL}\u201d", "url", "begins or ends with a quote"),
    (f"DATABASE_URL={GOOD_URL}", "url", "a command or a variable name in front of it"),
    (f"export DATABASE_URL={GOOD_URL}", "url", "a command or a variable name in front of it"),
    (f"cockroach sql --url {GOOD_URL}", "url", "a command or a variable name in front of it"),
    (f"host={SNI} user=max password=hunter sslmode", "url", "the keyword string is not name=value"),
    # placeholders
    (f"postgresql://max:<password>@{SNI}/defaultdb", "password", "placeholders: <password>."),
    (f"postgresql://max:<ENTER-SQL-USER-PASSWORD>@{SNI}/defaultdb", "password", "<ENTER-SQL-USER-PASSWORD>"),
    (f"postgresql://{{username}}:hunter@{SNI}/defaultdb", "user", "placeholders: {username}."),
    ("postgresql://max:hunter@<load balancer host>:26257/d", "host", "<load balancer host>"),
    ("postgresql://max:hunter@{host}:{port}/d", "host", "{host}, {port}"),
    (f"postgresql://max:hunter@{SNI}/<database>", "database", "<database>"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3D<routing-id>", "routing_id", "<routing-id>"),
    (f"postgresql://max:hunter@{DEDICATED}/d?sslrootcert=<certs_dir>/ca.crt", "sslrootcert", "<certs_dir>"),
    ("<connection-string>", "url", "<connection-string>"),
    ("{connection-string}", "url", "{connection-string}"),
    (f"postgresql://max:${{DB_PASSWORD}}@{SNI}/d", "password", "${DB_PASSWORD}"),
    (f"postgresql://max:${{hunter}}@{SNI}/d", "url", "a shell variable in ${ } that was never expanded"),
    (f"postgresql://$PGUSER:$PGPASSWORD@{SNI}/d", "user", "$PGUSER, $PGPASSWORD"),
    ("$DATABASE_URL", "url", "$DATABASE_URL"),
    ("${VAR}", "url", "${VAR}"),
    ("{{ var }}", "url", "{{ var }}"),
    (f"postgresql://max:{{{{ hunter_tiger }}}}@{SNI}/d", "url", "a template expression in {{ }}"),
    (f"postgresql://max:********@{SNI}/d", "password", "the password is masked"),
    (f"jdbc:postgresql://{SNI}/d?user=max&password=********", "password", "the password is masked"),
    # characters that must be escaped
    (f"postgresql://max:hunter@tiger@{SNI}:26257/d", "password", "an unescaped '@': write it as %40"),
    (f"postgresql://max:hun@@ter@{SNI}:26257/d", "password", "an unescaped '@': write it as %40"),
    (f"postgresql://max@example.com:hunter@{SNI}/d", "user", "an unescaped '@': write it as %40"),
    (f"postgresql://max:hunter/tiger@{SNI}:26257/d", "password", "an unescaped '/'"),
    (f"postgresql://max:hunter@walrus/tiger@{SNI}/d", "password", "write it as %2F"),
    (f"postgresql://max:hunter?tiger@{SNI}:26257/d?sslmode=verify-full", "password", "write it as %3F"),
    (f"postgresql://max:hunter@walrus?tiger@{SNI}/d", "password", "an unescaped '?'"),
    (f"postgresql://max:hunter?w=tiger@{SNI}/d", "password", "an unescaped '?'"),
    (f"postgresql://max:hunter#tiger@{SNI}:26257/d", "password", "an unescaped '#': write it as %23"),
    (f"jdbc:postgresql://{SNI}/d?user=max&password=hunter#tiger", "password", "an unescaped '#'"),
    (f"postgresql://max:hunter@{SNI}/d#top", "url", "an unescaped '#'"),
    (f"postgresql://max:hunter:tiger@{SNI}:26257/d", "password", "an unescaped ':': write it as %3A"),
    (f"postgresql://max:hunter%tiger@{SNI}/d", "password", "an unescaped '%' (one without two hexadecimal"),
    (f"postgresql://max:hunter%@{SNI}/d", "password", "write it as %25"),
    (f"postgresql://max:hunter%FFtiger@{SNI}/d", "password", "not UTF-8"),
    (f"postgresql://max:hunter\ttiger@{SNI}/d", "password", "copied along ('\\t'): take it out"),
    (f"postgresql://max:hunter\u00a0tiger@{SNI}/d", "password", "(no-break space): take it out"),
    (f"postgresql://max:hunter@{SNI}/my db", "database", "an unescaped ' ': write it as %20"),
    (f"postgresql://max:hunter@{DEDICATED}/my/db", "database", "an unescaped '/': write it as %2F"),
    (f"postgresql://max:hunter@{SNI}/d?sslmode=verify-full?options=x", "sslmode", "a second '?': write & in its place"),
    (f"postgresql://{SNI}/d?user=max&password=hunter+tiger", "password", "a bare '+'"),
    *[
        (
            f"postgresql://max:hunter{char}tiger@{SNI}/d",
            "password",
            f"an unescaped {char!r}: write it as %{ord(char):02X}",
        )
        for char in ' "<>[]\\^`{|}'
    ],
    # parts
    ("postgresql://max:hunter@/defaultdb", "host", "the host is missing"),
    ("postgresql:///defaultdb?user=max", "host", "the host is missing"),
    ("postgresql://max:hunter@:26257/defaultdb", "host", "the host is missing"),
    ("postgresql://max:hunter", "port", "not shown: it may be a password"),
    ("postgresql://max:99999/d", "port", "not shown: it may be a password"),
    (f"postgresql://{SNI}:26257/d", "user", "the user is missing"),
    (f"postgresql://:hunter@{SNI}:26257/d", "user", "the user is missing"),
    (f"postgresql://max:hunter@{SNI}:70000/d", "port", "'70000' after the host must be a number from 1 to 65535"),
    (f"postgresql://max:hunter@{SNI}:0/d", "port", "'0'"),
    (f"postgresql://max:hunter@{SNI}:port/d", "port", "'port'"),
    (f"postgresql://max:hunter@{SNI}:/d", "port", "''"),
    (f"postgresql://max:hunter@{SNI}:-1/d", "port", "'-1'"),
    (f"postgresql://max:hunter@{SNI}/d?port=99999", "port", "'99999' must be a number from 1 to 65535"),
    (f"postgresql://max:hunter@{SNI}:26257:26257/d", "port", "must be a number"),
    ("postgresql://max:hunter@a.example.com,b.example.com:26257/d", "host", "several hosts"),
    ("postgresql://max:hunter@a.example.com:1,b.example.com:2/d", "host", "several hosts"),
    (f"postgresql://max:hunter@/d?host={SNI},{SNI}", "host", "several hosts"),
    ("postgresql://max:hunter@%2Ftmp/d", "host", "a Unix socket"),
    ("postgresql://max:hunter@bad_host-.example.com/d", "host", "is not a host name or an IP address"),
    ("postgresql://max:hunter@1.2.3.256/d", "host", "is not a host name or an IP address"),
    ("postgresql://max:hunter@b\u00fccher.example/d", "host", "is not a host name or an IP address"),
    ("postgresql://max:hunter@db.example.com./d", "host", "ends with a dot"),
    (f"postgresql://max:hunter@[2001:db8::1]:26257/d?options=--cluster%3D{RID}", "host", "is IPv6"),
    ("postgresql://max:hunter@::1/d", "port", "must be a number"),
    # user
    (f"postgresql://max%40example.com:hunter@{SNI}/d", "user", "'max...' contains '@'"),
    (f"postgresql://max%3Ahunter@{SNI}/d", "user", "'max...' contains ':'"),
    (f"postgresql://-max:hunter@{SNI}/d", "user", "contains '-'"),
    (f"postgresql://max%00:hunter@{SNI}/d", "user", "a NUL character"),
    (f"postgresql://max%07:hunter@{SNI}/d", "user", "contains '\\x07'"),
    (f"postgresql://none:hunter@{SNI}/d", "user", "reserved"),
    (f"postgresql://PG_max:hunter@{SNI}/d", "user", "reserved"),
    (f"postgresql://crdb_internal_max:hunter@{SNI}/d", "user", "reserved"),
    (f"postgresql://{'m' * 64}:hunter@{SNI}/d", "user", "64 characters"),
    # password
    (f"postgresql://max:hunter%00@{SNI}/d", "password", "a NUL character"),
    (f"postgresql://max:hunter%0A@{SNI}/d", "password", "begins or ends with a line break"),
    (f"postgresql://max:%3Cpassword%3E@{SNI}/d", "password", "still the placeholder <password>"),
    # database
    (f"postgresql://max:hunter@{SNI}/my.db", "database", "'my.db' contains a dot"),
    (f"postgresql://max:hunter@{SNI}/a.b.c", "database", "contains a dot"),
    (f"postgresql://max:hunter@{DEDICATED}/%2E", "database", "'.' is a folder"),
    (f"postgresql://max:hunter@{DEDICATED}/..", "database", "'..' is a folder"),
    (f"postgresql://max:hunter@{SNI}/{'d' * 64}", "database", "longer than 63 bytes"),
    (f"postgresql://max:hunter@{SNI}/{'%C3%A9' * 32}", "database", "longer than 63 bytes"),
    (f"postgresql://max:hunter@{SNI}/d%00", "database", "a NUL character"),
    # routing
    (f"postgresql://max:hunter@{FREE}:26257/d", "routing_id", "many clusters share the host"),
    (
        f"postgresql://max:hunter@{FREE}/d?options=--cluster%3D{UUID}",
        "routing_id",
        "is the cluster's id, not its routing",
    ),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk", "routing_id", "has no tenant number"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunkyskunk", "routing_id", "has no tenant number"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk-", "routing_id", "has no tenant number"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk-0", "routing_id", "ends in '0'"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk-7a", "routing_id", "ends in '7a'"),
    (
        f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk-{2**64}",
        "routing_id",
        "is not a tenant number",
    ),
    (
        f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dfunky-skunk-%D9%A7",
        "routing_id",
        "is not a tenant number",
    ),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3Dshort-7", "routing_id", "the cluster name 'short'"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3DFunky-Skunk-7", "routing_id", "'Funky-Skunk'"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3D{'a' * 101}-7", "routing_id", "6 to 100"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3D", "routing_id", "flag in the options is empty"),
    (f"postgresql://max:hunter@{FREE}/d?options=--cluster%3D{RID}%20-ccluster%3D{RID}", "routing_id", "more than once"),
    (f"postgresql://max:hunter@{FREE}/other-cat-7.d?options=--cluster%3D{RID}", "routing_id", "different clusters"),
    (f"postgresql://max:hunter@{SNI}/d?options=--cluster%3Dother-cat-7", "routing_id", "name different clusters"),
    # TLS
    (f"postgresql://max:hunter@{SNI}/d?sslmode=disable", "sslmode", "'disable' is weaker than verify-full"),
    (
        f"postgresql://max:hunter@{SNI}/d?sslmode=require",
        "sslmode",
        "anybody between client and server can read the password",
    ),
    (f"postgresql://max:hunter@{SNI}/d?sslmode=verify-ca", "sslmode", "weaker than verify-full"),
    (f"postgresql://max:hunter@{SNI}/d?sslmode=strict", "sslmode", "'strict' is not known"),
    (f"postgresql://max:hunter@{SNI}/d?ssl=false", "sslmode", "'disable' is weaker"),
    (f"postgresql://max:hunter@{SNI}/d?ssl=no-verify", "sslmode", "'require' is weaker"),
    (f"postgresql://max:hunter@{SNI}/d?ssl=0&sslmode=verify-full", "sslmode", "keep sslmode=verify-full alone"),
    (f"postgresql://max:hunter@{SNI}/d?sslrootcert=system", "sslrootcert", "Give the path of a CA file"),
    (f"postgresql://max:hunter@{SNI}/d?sslcert=c.crt", "sslkey", "belong together"),
    (f"postgresql://max:hunter@{SNI}/d?sslkey=c.key", "sslcert", "belong together"),
    # parameters
    (f"postgresql://max:hunter@{SNI}/d?sslmode", "parameters", "not name=value"),
    (f"postgresql://max:hunter@{SNI}/d?sslmode=verify-full&&", "parameters", "not name=value"),
    (f"postgresql://max:hunter@{SNI}/d/?sslmode=verify-full", "database", "a '/' after its name: take it out"),
    (f"postgresql://max:hunter@{SNI}/d?sslmode=verify-full/", "sslmode", "take out what follows it"),
    (f"postgresql://max:hunter@{SNI}/d?connect_timeout=abc", "parameters", "not a whole number"),
    (f"jdbc:postgresql://{SNI}/d?user=max&password=hunter&tiger", "parameters", "not name=value"),
    (f"jdbc:postgresql://{SNI}/d?user=max&amp;password=hunter", "parameters", "copied from XML"),
    (f"postgresql://{SNI}/d?user=max&user=moritz&password=hunter", "user", "user is given twice"),
    (f"postgresql://{SNI}/d?user=max&password=hunter&password=tiger", "password", "password is given twice"),
    (f"postgresql://max:hunter@{SNI}/d?a=1&a=2", "parameters", "a is given twice"),
    (f"postgresql://max@{SNI}/d?Password=hunter", "parameters", "write it as 'password'"),
    (f"postgresql://max@{SNI}/d?pwd=hunter", "parameters", "write it as password"),
    (f"postgresql://max@{SNI}/d?sslpassword=hunter", "parameters", "'sslpassword' is refused"),
    (f"postgresql://max:hunter@{SNI}/d?hostaddr=10.0.0.1", "parameters", "'hostaddr' is refused"),
    (f"postgresql://max:hunter@{SNI}/d?service=x", "parameters", "'service' is refused"),
    (f"postgresql://max:hunter@{FREE}/d?cluster={RID}", "parameters", "options=--cluster%3D<routing-id>"),
    (f"postgresql://max:hunter@{FREE}/d?routing_id={RID}", "parameters", "options=--cluster%3D<routing-id>"),
    (
        f"postgresql://max:hunter@{SNI}/d?sslnegotiation=direct",
        "parameters",
        "CockroachDB's proxy does not support sslnegotiation=direct",
    ),
    (f"postgresql://max:hunter@{SNI}/d?channel_binding=require", "parameters", "the routing proxy terminates TLS"),
    (f"postgresql://max:hunter@{SNI}/d?sslsni=0", "parameters", "removes the server name"),
    (
        f"jdbc:postgresql://{SNI}/d?user=max&password=hunter&sslfactory=org.postgresql.ssl.NonValidatingFactory",
        "parameters",
        "might not verify the server",
    ),
    (f"jdbc:postgresql://{SNI}/d?user=max&sslhostnameverifier=x", "parameters", "replaces the host name verification"),
]

# reader, argument, keyword arguments, part, fragment of the message
BAD_OTHERS: list[tuple[str, Any, dict[str, Any], str, str]] = [
    ("parse_url", None, {}, "url", "not text"),
    ("parse_url", b"postgresql://", {}, "url", "not text"),
    ("parse_url", GOOD_URL, {"deployment": "premium"}, "deployment", "'premium' is not known"),
    ("parse_url", GOOD_URL.replace(SNI, "10.0.0.1"), {"deployment": "serverless"}, "host", "an IP address"),
    ("parse_url", GOOD_URL.replace(SNI, "localhost"), {"deployment": "serverless"}, "host", "a name without a dot"),
    (
        "parse_url",
        GOOD_URL.replace(SNI, "db.example.com"),
        {"deployment": "basic"},
        "routing_id",
        "'db' is not <cluster",
    ),
    (
        "parse_url",
        GOOD_URL.replace(SNI, DEDICATED),
        {"deployment": "serverless"},
        "routing_id",
        "does not begin with one",
    ),
    (
        "parse_url",
        f"{GOOD_URL}&options=--cluster%3D{RID}",
        {"deployment": "dedicated"},
        "routing_id",
        "the deployment is dedicated",
    ),
    ("parse_url", GOOD_URL.replace("verify-full", "no"), {}, "sslmode", "'no' is not known"),
    ("parse_dsn", "", {}, "url", "empty or not text"),
    ("parse_dsn", GOOD_URL, {}, "url", "this is a URL"),
    ("parse_dsn", f"host={SNI} user=max password=hunter tiger", {}, "url", "not name=value from character 70"),
    ("parse_dsn", f"host={SNI} user=max password='hunter", {}, "url", "not name=value from character"),
    ("parse_dsn", f"host={SNI} user=max user=moritz", {}, "user", "user is given twice"),
    ("parse_dsn", f"host={SNI} user=max routing_id={RID}", {}, "parameters", "drivers do not know it"),
    ("parse_dsn", f"host={SNI} password=hunter", {}, "user", "the user is missing"),
    ("parse_parameters", {"Host": SNI, "Username": "max", "Port": "x"}, {}, "port", "'x' must be a number"),
    ("parse_parameters", {"Host": SNI, "Username": "max", "Port": True}, {}, "port", "not text (it is of type bool)"),
    ("parse_parameters", {"Host": SNI, "Username": "max", "user": "moritz"}, {}, "user", "user is given twice"),
    ("parse_parameters", {"Host": SNI, "Username": "max", "Password": 123456}, {}, "password", "put it in quotes"),
    (
        "parse_parameters",
        {"Host": SNI, "Username": "max", "Colour": "x"},
        {},
        "parameters",
        "unknown keys: colour. The keys are",
    ),
    ("parse_parameters", {"Host": f"https://{SNI}", "User": "max"}, {}, "host", "contains a scheme"),
    ("parse_parameters", {"Host": f"{SNI}:26257", "User": "max"}, {}, "host", "contains a port"),
    ("parse_parameters", {"Host": f"max:hunter@{SNI}", "User": "max"}, {}, "host", "it may contain a password"),
    ("parse_parameters", {"Host": SNI, "User": "{username}"}, {}, "user", "still the placeholder {username}"),
    ("parse_parameters", {"Host": SNI, "User": "max", "Password": "{{ hunter }}"}, {}, "password", "never evaluated"),
    (
        "parse_parameters",
        {"Host": SNI, "User": "max", "Password": "$PGPASSWORD"},
        {},
        "password",
        "placeholder $PGPASSWORD",
    ),
    ("parse_parameters", {"Host": SNI, "User": "max", "Password": "hunter\n"}, {}, "password", "a line break"),
    ("parse_parameters", {"Host": SNI, "User": "max", "Password": "hunter\ud800"}, {}, "password", "surrogate"),
    ("parse_parameters", {"Host": FREE, "User": "max", "routing_id": UUID}, {}, "routing_id", "is the cluster's id"),
    ("parse_parameters", {"Host": FREE, "User": "max", "routing-id": "<routing-id>"}, {}, "routing_id", "placeholder"),
    (
        "parse_parameters",
        {"Host": SNI, "User": "max", "parameters": {"host": "x"}},
        {},
        "parameters",
        "use the key of that name",
    ),
    ("parse_parameters", {"Host": SNI, "User": "max", "parameters": ["x"]}, {}, "parameters", "not a mapping"),
    ("parse_environment", {}, {}, "url", "the environment has none of DATABASE_URL"),
    ("parse_environment", {"DATABASE_URL": "", "PATH": "/bin"}, {}, "url", "set DATABASE_URL"),
    ("parse_environment", {"DATABASE_URL": GOOD_URL, "PGHOST": "localhost"}, {}, "host", "differ in 'host'"),
    ("parse_environment", {"DATABASE_URL": GOOD_URL, "PGPASSWORD": "tiger"}, {}, "password", "differ in 'password'"),
    ("parse_environment", {"PGHOST": SNI, "PGUSER": "max", "PGSSLMODE": "prefer"}, {}, "sslmode", "weaker"),
    ("resolve", {}, {}, "host", "the host is missing"),
    ("resolve", "postgresql://", {}, "parameters", "not a mapping"),
    ("resolve", {"host": SNI}, {}, "user", "the user is missing"),
    ("resolve", {"hots": SNI, "user": "max"}, {}, "parameters", "unknown keys: hots. The keys are deployment, host"),
    ("resolve", {"url": GOOD_URL, "Host": SNI}, {}, "parameters", "unknown keys: Host"),
    ("resolve", {"url": GOOD_URL, "password": "tiger"}, {}, "password", "differ in 'password'"),
    ("resolve", {"url": GOOD_URL, "port": 5432}, {}, "port", "differ in 'port'"),
    ("resolve", {"url": GOOD_URL.replace(":26257", ":5432"), "port": 26257}, {}, "port", "differ in 'port'"),
    ("resolve", {"url": GOOD_URL, "routing_id": "other-cat-7"}, {}, "routing_id", "different clusters"),
    ("resolve", {"url": GOOD_URL, "parameters": {"sslmode": "x"}}, {}, "parameters", "use the key of that name"),
    ("resolve", {"url": GOOD_URL, "deployment": "freemium"}, {}, "deployment", "'freemium' is not known"),
    ("resolve", {"url": GOOD_URL, "routing": "magic"}, {}, "routing", "'magic' is not known"),
    ("resolve", {"url": GOOD_URL, "deployment": "dedicated", "routing": "sni"}, {}, "routing", "applies to Serverless"),
    (
        "resolve",
        {"host": "db.example.com", "user": "max", "routing_id": RID, "routing": "sni"},
        {},
        "routing_id",
        "begin",
    ),
    ("resolve", {"host": FREE, "user": "max", "routing": "options"}, {}, "routing_id", "needs a routing id"),
    ("resolve", {"url": GOOD_URL, "sslmode": "require"}, {}, "sslmode", "differ in 'sslmode'"),
    ("resolve", {"host": SNI, "user": "max", "parameters": {"a b": "x"}}, {}, "parameters", "only letters, digits"),
    ("resolve", {"host": SNI, "user": "max", "parameters": {"a": True}}, {}, "parameters", "put it in quotes"),
]

BAD: list[tuple[str, Any, dict[str, Any], str, str]] = [
    *(("parse_url", text, {}, part, fragment) for text, part, fragment in BAD_URLS),
    *BAD_OTHERS,
]

# text, the fields that must come out (all others as the defaults are)
SERVERLESS = {"deployment": "serverless", "host": SNI, "user": "max", "password": "p!@#"}
OPTIONS = {**SERVERLESS, "host": FREE, "routing_id": RID}
GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    # The guide's form for node-postgres, Sequelize >= 6.10, psycopg2, pgx, pq, GORM and Ruby pg ...
    ("parse_url", f"postgresql://max:p%21%40%23@{FREE}:26257/d?sslmode=verify-full&options=--cluster%3D{RID}", OPTIONS),
    # ... for Sequelize <= 6.9 ...
    ("parse_url", f"postgresql://max:p%21%40%23@{FREE}:26257/{RID}.d?ssl=true", {**OPTIONS, "routing": "database"}),
    # ... TypeORM (with its options apart), SQLAlchemy and newer ActiveRecord ...
    ("parse_url", f"postgresql://max:p%21%40%23@{SNI}:26257/d", SERVERLESS),
    (
        "parse_url",
        f"cockroachdb://max:p%21%40%23@{FREE}:26257/d?sslmode=verify-full&options=--cluster%3D{RID}",
        OPTIONS,
    ),
    (
        "parse_url",
        f"cockroachdb+asyncpg://max:p%21%40%23@{FREE}:26257/{RID}.d?ssl=verify-full",
        {**OPTIONS, "routing": "database"},
    ),
    # ... JDBC and Hibernate, in the order of two editions of the guide.
    (
        "parse_url",
        f"jdbc:postgresql://{FREE}:26257/d?user=max&password=p%21%40%23&sslmode=verify-full"
        f"&sslfactory={connection.JAVA_SSL_FACTORY}&options=--cluster%3D{RID}",
        {**OPTIONS, "parameters": (("sslfactory", connection.JAVA_SSL_FACTORY),)},
    ),
    (
        "parse_url",
        f"jdbc:postgresql://{FREE}:26257/d?options=--cluster%3D{RID}&password=p!@%23&sslmode=verify-full&user=max",
        OPTIONS,
    ),
    # Per-cluster host names.
    ("parse_url", f"postgresql://max:p!%40%23@{SNI}:26257/d?sslmode=verify-full", SERVERLESS),
    ("parse_url", f"POSTGRES://max:p!%40%23@{SNI.upper()}/d", SERVERLESS),
    ("parse_url", f"jdbc:postgresql://max:p!%40%23@{SNI}:26257/d", SERVERLESS),
    ("parse_url", f"postgresql:///d?host={SNI}&user=max&password=p!%40%23&port=26257", SERVERLESS),
    (
        "parse_url",
        f"postgresql://x:y@example.com:1/z?host={SNI}&user=max&password=p!%40%23&port=26257&dbname=d",
        SERVERLESS,
    ),
    ("parse_url", f"postgresql://max@{SNI}/d?user=max&user=max", {**SERVERLESS, "password": None}),
    ("parse_url", f"postgresql://max:@{SNI}/d?password=", {**SERVERLESS, "password": None}),
    ("parse_url", f"postgresql://max:p!%40%23@{SNI}", {**SERVERLESS, "database": "defaultdb"}),
    ("parse_url", f"postgresql://Max:p!%40%23@{SNI}/d?ssl=true&sslmode=verify-full", {**SERVERLESS, "user": "Max"}),
    # Other spellings of the cluster flag, with options beside it.
    ("parse_url", f"postgresql://max:p!%40%23@{FREE}/d?options=--cluster={RID}", OPTIONS),
    ("parse_url", f"postgresql://max:p!%40%23@{FREE}/d?options=-c%20%20cluster%3D{RID}", OPTIONS),
    ("parse_url", f"postgresql://max:p!%40%23@{FREE}/d?options=-ccluster={RID}", OPTIONS),
    ("parse_url", f"jdbc:postgresql://{FREE}/d?user=max&password=p!@%23&options=-c+cluster%3D{RID}", OPTIONS),
    (
        "parse_url",
        f"postgresql://max:p!%40%23@{FREE}/d?options=-csearch_path%3Dpublic%20--cluster%3D{RID}%09--foo%3Dtest",
        {**OPTIONS, "options": "-csearch_path=public \t--foo=test"},
    ),
    ("parse_url", f"postgresql://max:p!%40%23@{FREE}/{RID}.d?options=--cluster%3D{RID}", OPTIONS),
    # Dedicated and self-hosted.
    (
        "parse_url",
        f"postgres://max:p!%40%23@{DEDICATED}:26257/d?sslmode=verify-full&sslrootcert=certs/ca.crt",
        {**SERVERLESS, "deployment": "dedicated", "host": DEDICATED, "sslrootcert": "certs/ca.crt"},
    ),
    (
        "parse_url",
        f"postgresql://max:p!%40%23@{DEDICATED}/a.b?sslrootcert=$HOME/Library/x-ca.crt",
        {
            **SERVERLESS,
            "deployment": "dedicated",
            "host": DEDICATED,
            "database": "a.b",
            "sslrootcert": "$HOME/Library/x-ca.crt",
        },
    ),
    (
        "parse_url",
        "postgresql://max@db.example.com:26300/d?sslmode=verify-full&sslrootcert=%2Fc%2Fca.crt&sslcert=/c/m.crt&sslkey=/c/m.key",
        {
            **SERVERLESS,
            "deployment": "self_hosted",
            "host": "db.example.com",
            "port": 26300,
            "password": None,
            "sslrootcert": "/c/ca.crt",
            "sslcert": "/c/m.crt",
            "sslkey": "/c/m.key",
        },
    ),
    (
        "parse_url",
        "postgresql://max:p!%40%23@[0:0::1]:26257/d",
        {**SERVERLESS, "deployment": "self_hosted", "host": "::1"},
    ),
    (
        "parse_url",
        "postgresql://max:p!%40%23@old.crdb.io/d",
        {**SERVERLESS, "deployment": "dedicated", "host": "old.crdb.io"},
    ),
    (
        "parse_url",
        f"postgresql://max:p!%40%23@{SNI}/d?application_name=a%20b&connect_timeout=30",
        {**SERVERLESS, "parameters": (("application_name", "a b"), ("connect_timeout", "30"))},
    ),
    (
        "parse_url",
        f"jdbc:postgresql://{SNI}/d?user=max&password=p!@%23&ApplicationName=a+b",
        {**SERVERLESS, "parameters": (("application_name", "a b"),)},
    ),
    # The other forms.
    ("parse_dsn", f"host={SNI} port = 26257 dbname='d' user=max\n password = 'p!@#'", SERVERLESS),
    ("parse_dsn", f"host={FREE} dbname=d user=max password=p!@# options='--cluster={RID}' sslmode=''", OPTIONS),
    ("parse_dsn", f"host={SNI} dbname=d user=max password='p\\'\\\\ '", {**SERVERLESS, "password": "p'\\ "}),
    ("parse_dsn", f"host={SNI} dbname=d user=max password=a\\ b", {**SERVERLESS, "password": "a b"}),
    (
        "parse_parameters",
        {"Host": SNI, "Port": "26257", "Database": "d", "Username": "max", "Password": "p!@#"},
        SERVERLESS,
    ),
    (
        "parse_parameters",
        {"HOST": FREE, "port": 26257, "database": f"{RID}.d", "user": "max", "password": "p!@#"},
        {**OPTIONS, "routing": "database"},
    ),
    ("parse_parameters", {"host": FREE, "dbname": "d", "user": "max", "password": "p!@#", "Routing ID": RID}, OPTIONS),
    (
        "parse_parameters",
        {
            "host": FREE,
            "database": "d",
            "user": "max",
            "password": "p!@#",
            "options": f"--cluster={RID}",
            "routing-id": RID,
        },
        OPTIONS,
    ),
    ("parse_environment", {"DATABASE_URL": f"postgresql://max:p!%40%23@{SNI}/d", "PATH": "/bin"}, SERVERLESS),
    (
        "parse_environment",
        {"DATABASE_URL": "", "JDBC_DATABASE_URL": f"jdbc:postgresql://{SNI}/d?user=max", "PGPASSWORD": "p!@#"},
        SERVERLESS,
    ),
    (
        "parse_environment",
        {"COCKROACH_URL": f"postgresql://MAX@{SNI}/d", "PGUSER": "max", "PGPASSWORD": "p!@#"},
        {**SERVERLESS, "user": "MAX"},
    ),
    (
        "parse_environment",
        {"PGHOST": FREE, "PGDATABASE": "d", "PGUSER": "max", "PGPASSWORD": "p!@#", "PGOPTIONS": f"--cluster={RID}"},
        OPTIONS,
    ),
    ("resolve", {"url": f"postgresql://max@{SNI}/d", "password": "p!@#", "ca_public": True, "port": None}, SERVERLESS),
    (
        "resolve",
        {"url": f"jdbc:postgresql://{SNI}:26257/d", "user": "max", "password": "p!@#", "port": "26257"},
        SERVERLESS,
    ),
    (
        "resolve",
        {"deployment": "Standard", "host": FREE, "database": "d", "user": "max", "password": "p!@#", "routing_id": RID},
        OPTIONS,
    ),
    (
        "resolve",
        {"deployment": "ADVANCED", "host": "x.test", "user": "max"},
        {"deployment": "dedicated", "host": "x.test", "user": "max", "database": "defaultdb"},
    ),
    (
        "resolve",
        {"deployment": "core", "host": "x.test", "user": "max"},
        {"deployment": "self_hosted", "host": "x.test", "user": "max", "database": "defaultdb"},
    ),
    (
        "resolve",
        {"host": FREE, "database": "d", "user": "max", "password": "p!@#", "routing_id": RID, "routing": "database"},
        {**OPTIONS, "routing": "database"},
    ),
    (
        "resolve",
        {"host": SNI, "database": "d", "user": "max", "password": "p!@#", "routing": "options"},
        {**SERVERLESS, "routing_id": RID, "routing": "options"},
    ),
    (
        "resolve",
        {"host": SNI, "database": "d", "user": "max", "password": "p!@#", "routing_id": RID, "routing": "sni"},
        {**SERVERLESS, "routing_id": RID, "routing": "sni"},
    ),
    (
        "resolve",
        {"url": f"postgresql://max:p!%40%23@{SNI}/d", "parameters": {"connect_timeout": 30}},
        {**SERVERLESS, "parameters": (("connect_timeout", "30"),)},
    ),
]

DEFAULTS: dict[str, Any] = {
    "port": 26257, "database": "d", "password": None, "routing_id": None, "routing": "auto", "sslmode": "verify-full",
    "sslrootcert": None, "sslcert": None, "sslkey": None, "options": None, "parameters": (),
}  # fmt: skip


def check_refused(case: tuple[str, Any, dict[str, Any], str, str]) -> None:
    reader, given, keywords, part, fragment = case
    refusal = None
    try:
        getattr(connection, reader)(given, **keywords)
    except connection.InvalidConnectionError as error:
        refusal = error
    assert refusal is not None, "it was accepted"
    assert fragment in str(refusal), str(refusal)
    assert refusal.part == part, (refusal.part, str(refusal))
    assert refusal.__cause__ is None
    assert refusal.__context__ is None
    shown = "".join(traceback.format_exception(type(refusal), refusal, refusal.__traceback__)) + repr(refusal)
    leaked = [canary for canary in CANARIES if canary in shown]
    assert not leaked, leaked


def check_read(case: tuple[str, Any, dict[str, Any]]) -> None:
    reader, given, expected = case
    value = getattr(connection, reader)(given)
    expected = {**DEFAULTS, **expected}
    assert {name: getattr(value, name) for name in expected} == expected


def pytest_generate_tests(metafunc: Any) -> None:
    for name, cases in (("bad", BAD), ("good", GOOD)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, cases, ids=[f"{case[0]}-{place}" for place, case in enumerate(cases)])


def test_refused(bad: tuple[str, Any, dict[str, Any], str, str]) -> None:
    check_refused(bad)


def test_read(good: tuple[str, Any, dict[str, Any]]) -> None:
    check_read(good)


if __name__ == "__main__":
    for one in BAD:
        check_refused(one)
    for other in GOOD:
        check_read(other)
        again = getattr(connection, other[0])(other[1])
        assert connection.parse_url(again.url(), deployment=again.deployment).url() == again.url()
    print(f"{len(BAD)} refused, {len(GOOD)} read on Python {sys.version.split()[0]}")
