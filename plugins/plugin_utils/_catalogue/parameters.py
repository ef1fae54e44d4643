# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parameters of a connection string the drivers know, in libpq's spelling where there is one.

Sources: libpq 18's manual, section "Parameter Key Words"; the documentation of pgx v5 (pgconn.ParseConfig), lib/pq,
PgJDBC ("Connecting to the Database"), node-postgres and pg-connection-string, asyncpg (connect),
postgres.js (its file src/index.js).
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

_EVERYWHERE = frozenset({"application_name", "options"})
_LIBPQ = _EVERYWHERE | {
    *("channel_binding", "client_encoding", "connect_timeout", "fallback_application_name", "gssdelegation"),
    *("gssencmode", "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"),
    *("krbsrvname", "load_balance_hosts", "max_protocol_version", "min_protocol_version", "require_auth"),
    *("requirepeer", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcertmode", "sslcompression"),
    *("sslcrl", "sslcrldir", "sslkeylogfile", "sslnegotiation", "sslpassword", "sslsni", "target_session_attrs"),
    "tcp_user_timeout",
}
# What a driver does not know itself, it sends as a setting of the session: these exist in CockroachDB.
_SESSION = frozenset(
    {
        *("application_name", "client_encoding", "datestyle", "default_transaction_isolation"),
        *("default_transaction_priority", "default_transaction_read_only", "default_transaction_use_follower_reads"),
        *("extra_float_digits", "idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle"),
        *("lock_timeout", "results_buffer_size", "search_path", "statement_timeout", "timezone", "transaction_timeout"),
    }
)
KNOWN: Mapping[str, frozenset[str]] = {
    "libpq": _LIBPQ,
    "pgx": _EVERYWHERE
    | _SESSION
    | {
        *("channel_binding", "connect_timeout", "default_query_exec_mode", "description_cache_capacity"),
        *("krbspn", "krbsrvname", "max_protocol_version", "min_protocol_version", "min_read_buffer_size"),
        *("pool_health_check_period", "pool_max_conn_idle_time", "pool_max_conn_lifetime"),
        *("pool_max_conn_lifetime_jitter", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns"),
        *("sslnegotiation", "sslpassword", "sslsni", "statement_cache_capacity", "target_session_attrs"),
    },
    "pq": _EVERYWHERE
    | _SESSION
    | {
        *("binary_parameters", "connect_timeout", "disable_prepared_binary_result", "fallback_application_name"),
        *("krbspn", "krbsrvname", "sslinline", "sslpassword", "sslsni"),
    },
    "node": _EVERYWHERE
    | {
        *("client_encoding", "connect_timeout", "fallback_application_name"),
        *("idle_in_transaction_session_timeout", "keepalives", "keepalives_idle", "lock_timeout", "query_timeout"),
        *("replication", "sslnegotiation", "statement_timeout", "uselibpqcompat"),
    },
    "asyncpg": _EVERYWHERE | _SESSION,
    "sqlx": _EVERYWHERE | {"statement-cache-capacity"},
    "tokio-postgres": _EVERYWHERE
    | {
        *("channel_binding", "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_retries", "load_balance_hosts", "sslnegotiation", "target_session_attrs", "tcp_user_timeout"),
    },
    "postgres.js": _EVERYWHERE | _SESSION,
    # What the written class gives to r2dbc-postgresql.
    "r2dbc": _EVERYWHERE | {"connect_timeout", "currentSchema", "sslfactory"},
    "jdbc": _EVERYWHERE
    | {
        *(
            "adaptiveFetch",
            "adaptiveFetchMaximum",
            "adaptiveFetchMinimum",
            "allowEncodingChanges",
            "assumeMinServerVersion",
        ),
        *("autosave", "binaryTransfer", "binaryTransferDisable", "binaryTransferEnable", "cancelSignalTimeout"),
        *("channelBinding", "cleanupSavepoints", "connectTimeout", "currentSchema", "databaseMetadataCacheFields"),
        *("databaseMetadataCacheFieldsMiB", "defaultRowFetchSize", "disableColumnSanitiser", "escapeSyntaxCallMode"),
        *(
            "groupStartupParameters",
            "gssEncMode",
            "gssResponseTimeout",
            "hideUnprivilegedObjects",
            "hostRecheckSeconds",
        ),
        *("jaasLogin", "loadBalanceHosts", "localSocketAddress", "logServerErrorDetail", "logUnclosedConnections"),
        *("loginTimeout", "maxResultBuffer", "maxSendBufferSize", "preferQueryMode", "prepareThreshold"),
        *(
            "preparedStatementCacheQueries",
            "preparedStatementCacheSizeMiB",
            "protocolVersion",
            "quoteReturningIdentifiers",
        ),
        *("readOnly", "readOnlyMode", "receiveBufferSize", "reWriteBatchedInserts", "sendBufferSize", "socketFactory"),
        *("socketFactoryArg", "socketTimeout", "sslResponseTimeout", "stringtype", "targetServerType", "tcpKeepAlive"),
        *("tcpNoDelay", "unknownLength", "sslfactory", "sslpassword", "sslNegotiation"),
    },
}
"""The parameters that a kind of driver knows, by the name that framework.yml has for the kind."""
READ_JDBC_URL = frozenset({"jdbc", "r2dbc"})
"""The kinds that read the JDBC URL; the others read the general one."""
# Known to tools that read the same string, and to none of these drivers.
_ELSEWHERE = frozenset(
    {
        *("connection_limit", "pgbouncer", "pool_timeout", "schema", "socket_timeout", "sslaccept", "sslidentity"),
        *("statement_cache_size",),
    }
)


def known_somewhere() -> frozenset[str]:
    """Every parameter that some program knows."""
    return frozenset().union(*KNOWN.values()) | _ELSEWHERE


def split(names: Iterable[str], kinds: Collection[str]) -> tuple[set[str], dict[str, list[str]]]:
    """The parameters that all kinds of drivers know, and the others with the kinds that do not know them."""
    unknown = {name: sorted(kind for kind in kinds if name not in KNOWN[kind]) for name in names}
    return {name for name, lacking in unknown.items() if not lacking}, {n: k for n, k in unknown.items() if k}
