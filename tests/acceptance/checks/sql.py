# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only a real CockroachDB can answer about SQL."""

from __future__ import annotations

import ipaddress
import time
from typing import Any

import psycopg
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import public_bundle

from tests.acceptance.checks.claims import APP, BOSS, SAMPLE, SCHEMA, admin_session, app_session, url_of
from tests.acceptance.run import CheckError, Run, SkippedError, check, expect


def _error(error: psycopg.Error) -> str:
    """A refusal in one line: SQLSTATE, the words, detail and hint."""
    parts = [str(error.diag.message_primary or error).strip()]
    for label, text in (("detail", error.diag.message_detail), ("hint", error.diag.message_hint)):
        if text:
            parts.append(f"({label}: {text})")
    return " ".join(f"{error.sqlstate or error.diag.sqlstate or 'no SQLSTATE'} {' '.join(parts)}".split())


def _attempt(session: psycopg.Connection[tuple[Any, ...]], statement: str) -> str:
    """`done`, or the refusal."""
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        return _error(error)
    return "done"


@check("missing-database", "what does a database that does not exist answer?", "question", after=("database",))
def missing_database(run: Run) -> str | None:
    user = (run.names(BOSS), run.password(run.names(BOSS))) if run.target.kind == "cloud" else ("", "")
    try:
        session = run.target.connect(*user, database=run.names("nowhere"))
    except psycopg.OperationalError as error:
        return f"the login is refused: {' '.join(str(error).split())[-200:]}"
    with session:
        answers = {
            statement: _attempt(session, statement)
            for statement in (
                "SELECT 1",
                "SELECT count(*) FROM pg_catalog.pg_database",
                "TABLE pg_catalog.pg_database",
                "SELECT count(*) FROM pg_catalog.pg_class",
            )
        }
    refused = [answer for answer in answers.values() if answer != "done"]
    expect(
        not refused or any(answer[:5] in ("3D000", "42P01") for answer in refused),
        f"Neither 3D000 nor 42P01 came for a missing database, which the check needs to name it: {answers}",
    )
    return f"the session starts; {'; '.join(f'{statement}: {answer}' for statement, answer in answers.items())}"


@check("revoke-admin", "who may revoke admin: a user made by the API, or one that was granted it?", "question",
       kinds=("cloud",), after=("database",))  # fmt: skip
def revoke_admin(run: Run) -> str | None:
    second, third = run.names("second"), run.names("third")
    for path, body in (("sql-users", {"name": second, "password": run.password()}),):
        answer = run.api.ask("POST", run.target.path(path), body)
        expect(answer.status == 200, f"POST {path} answered {answer}")
    word = run.password()
    with admin_session(run) as session:
        session.execute(f"CREATE USER \"{third}\" WITH PASSWORD '{word}'".encode())
        session.execute(f'GRANT admin TO "{third}"'.encode())
        with run.target.connect(third, word, run.names(SAMPLE)) as granted:
            by_granted = _attempt(granted, f'REVOKE admin FROM "{second}"')
        if by_granted == "done":
            session.execute(f'GRANT admin TO "{second}"'.encode())
        by_api = _attempt(session, f'REVOKE admin FROM "{second}"')
    expect(by_api == "done", f"A user that the API created must be able to revoke admin, but: {by_api}")
    return f"by a user that the API created: done; by one that was granted admin: {by_granted}"


@check("default-privileges", "where can default privileges be read back on this release?", "question",
       after=("least-rights",))  # fmt: skip
def default_privileges(run: Run) -> str | None:
    user = run.names(APP)
    with admin_session(run) as session:
        catalogue = session.execute(
            b"SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE %s", (f"%{user}%",)
        ).fetchone()
        statement = f'SHOW DEFAULT PRIVILEGES FOR GRANTEE "{user}" IN SCHEMA {SCHEMA}'
        shown = _attempt(session, statement)
        rows = ""
        if shown == "done":
            rows = f" ({len(session.execute(statement.encode()).fetchall())} rows)"
    in_catalogue = int(catalogue[0]) if catalogue else 0
    expect(
        in_catalogue > 0 or (shown == "done" and rows != " (0 rows)"),
        f"The default privileges are neither in pg_default_acl nor in SHOW DEFAULT PRIVILEGES: {shown}{rows}",
    )
    return f"{run.facts.get('release')}: {in_catalogue} rows in pg_default_acl; SHOW DEFAULT PRIVILEGES: {shown}{rows}"


@check("role-change-time", "how long does a change of a role take?", "question", after=("database",))
def role_change_time(run: Run) -> str | None:
    role, user = run.names("timed_role"), run.names("timed_user")
    statements = (
        f'CREATE ROLE "{role}"',
        f'CREATE USER "{user}"',
        f'GRANT CONNECT ON DATABASE "{run.names(SAMPLE)}" TO "{role}"',
        f'GRANT "{role}" TO "{user}"',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "{role}"',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM "{role}"',
        f'REVOKE "{role}" FROM "{user}"',
        f'REVOKE CONNECT ON DATABASE "{run.names(SAMPLE)}" FROM "{role}"',
        f'DROP ROLE "{user}"',
        f'DROP ROLE "{role}"',
    )
    times = []
    with admin_session(run) as session:
        for statement in statements:
            begin = time.monotonic()
            answer = _attempt(session, statement)
            expect(answer == "done", f"{statement.split(' IN ', maxsplit=1)[0]} failed: {answer}")
            times.append((time.monotonic() - begin, statement.replace(f"{run.names('timed_')}", "")))
    slowest = max(times)
    total = sum(seconds for seconds, _statement in times)
    return f"{len(times)} statements took {total:.1f} s; the slowest {slowest[0]:.2f} s ({slowest[1]})"


@check("user-case", "how are names of users in mixed case kept?", "question", after=("database",))
def user_case(run: Run) -> str | None:
    mixed, word = run.names("MiXed"), run.password()
    answers = []
    if run.target.kind == "cloud":
        answer = run.api.ask("POST", run.target.path("sql-users"), {"name": mixed, "password": word})
        if answer.status != 200:
            return f"the API refuses it: {answer}"
        listed = [str(user["name"]) for user in run.api.items(run.target.path("sql-users"), "users")]
        kept = next((name for name in listed if name.lower() == mixed.lower()), "nothing")
        answers.append(f"the API lists {'the name as sent' if kept == mixed else kept}")
    else:
        with admin_session(run) as session:
            session.execute(f"CREATE USER \"{mixed}\" WITH PASSWORD '{word}'".encode())
    with admin_session(run) as session:
        row = session.execute(b"SELECT rolname FROM pg_roles WHERE lower(rolname) = %s", (mixed.lower(),)).fetchone()
    answers.append(f"SQL has {'lower case' if row and row[0] == mixed.lower() else row}")
    # Each name logs in once, with the right password.
    for name in (mixed.lower(), mixed):
        try:
            run.target.connect(name, word, run.names(SAMPLE)).close()
        except psycopg.OperationalError as error:
            answers.append(f"{name} cannot log in: {' '.join(str(error).split())[-120:]}")
        else:
            answers.append(f"{name} logs in")
    return "; ".join(answers)


@check("user-dash", "may the name of a user have a dash?", "question", after=("database",))
def user_dash(run: Run) -> str | None:
    answers = []
    if run.target.kind == "cloud":
        body = {"name": run.names("with-dash"), "password": run.password()}
        answers.append(f"the API: {run.api.ask('POST', run.target.path('sql-users'), body)}")
    with admin_session(run) as session:
        statement = f'CREATE USER "{run.names("sql-dash")}"'
        answers.append(f"SQL: {_attempt(session, statement)}")
    return "; ".join(answers)


@check("public-roots", "do the public roots hold for the cluster's certificate?", "question", after=("database",))
def public_roots(run: Run) -> str | None:
    if run.target.kind == "self_hosted":
        raise SkippedError("A self-hosted cluster has a CA of its own.")
    user, word = run.names(BOSS), run.password(run.names(BOSS))
    try:
        run.target.connect(user, word, run.names(SAMPLE), sslrootcert=public_bundle()).close()
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())[-160:]
        if run.target.is_serverless and not run.target.is_sandbox:
            raise CheckError(f"The public roots must verify a Serverless cluster, but: {reason}") from None
        return f"no: {reason}"
    return "yes"


@check("allowlist-cut", "what does the allowlist do to a live connection?", "question", kinds=("cloud",),
       after=("least-rights", "api-user-and-network"))  # fmt: skip
def allowlist_cut(run: Run) -> str | None:
    entry = run.facts["entry"]
    if any(other.get("sql") and _contains(other, entry) for other in run.facts["others"]):
        raise SkippedError("Another entry of the allowlist lets this machine in too, so that ours makes no difference.")
    path = run.target.path(f"networking/allowlist/{entry['cidr_ip']}/{entry['cidr_mask']}")
    with app_session(run) as live:
        live.execute("SELECT 1")
        expect(run.api.ask("DELETE", path).status == 200, "The run's own allowlist entry could not be removed.")
        try:
            answer = _wait_for_cut(live)
            if run.target.is_serverless:
                _refused_by_name(run)
        finally:
            run.api.ask("POST", run.target.path("networking/allowlist"), entry)
            _wait_until_let_in(run)
    return answer


def _refused_by_name(run: Run) -> None:
    """The project's own check says why nobody can connect from here now."""
    arguments = {"url": url_of(run, run.names(SAMPLE)), "ca_file": run.target.conninfo["sslrootcert"]}
    done = run.module("check", arguments, status=None)
    expect("not_in_allowlist" in done.text, f"The check did not say not_in_allowlist: {done.text[:600]}")


def _contains(other: dict[str, Any], entry: dict[str, Any]) -> bool:
    network = ipaddress.ip_network(f"{other['cidr_ip']}/{other['cidr_mask']}", strict=False)
    return ipaddress.ip_address(entry["cidr_ip"]) in network


def _wait_for_cut(live: psycopg.Connection[tuple[Any, ...]], limit: float = 180.0) -> str:
    begin = time.monotonic()
    while time.monotonic() < begin + limit:
        try:
            live.execute("SELECT 1")
        except psycopg.Error as error:
            words = " ".join(str(error).split())[:160]
            return f"it is cut {time.monotonic() - begin:.1f} s after the entry was removed: {words}"
        time.sleep(0.2)
    return f"it was still usable after {limit:.0f} s"


def _wait_until_let_in(run: Run, limit: float = 300.0) -> None:
    end = time.monotonic() + limit
    while True:
        try:
            # A dedicated cluster does not answer until then.
            app_session(run, connect_timeout=5).close()
        except psycopg.OperationalError:
            expect(time.monotonic() < end, f"The allowlist did not let this machine in again within {limit:.0f} s.")
            # The user and the password are right, so that no attempt counts as a failed login.
            time.sleep(0.5)
        else:
            return


@check("throttle", "after how many wrong passwords does the service refuse, and in which words?", "question",
       after=("least-rights",), asked="throttle")  # fmt: skip
def throttle(run: Run) -> str | None:
    for number in range(1, 11):
        try:
            run.target.connect(run.names(APP), "wrong", run.names(SAMPLE)).close()
        except psycopg.OperationalError as error:
            words = " ".join(str(error).split())[-200:]
            if "password authentication failed" not in words:
                return f"after {number - 1} wrong passwords: {words}"
    return "not within 10 wrong passwords"
