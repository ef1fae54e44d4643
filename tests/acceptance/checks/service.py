# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Cloud API does for other clients too, as the sandbox has it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.acceptance.api import Answer
from tests.acceptance.run import Run, SkippedError, check, expect
from tests.acceptance.target import Target

CLOUD = ("cloud",)


def _get(run: Run, path: str, what: str, **query: str) -> dict[str, Any]:
    """The JSON of a request that the service answers with 200."""
    answer = run.api.ask("GET", path, **query)
    expect(answer.status == 200, f"{what}: GET /{_shown(run.target, path)} answered {answer}, but the service has it.")
    return answer.value


def _shown(target: Target, path: str) -> str:
    return path.replace(str(target.cluster.get("id")), "{id}")


def _refused(answer: Answer, status: int, what: str) -> None:
    expect(answer.status == status, f"{what} was answered {answer}, but the service answers {status}.")
    expect(isinstance(answer.value.get("message"), str), f"{what} was refused without the API's own error.")


@check("backups-config", "GET /clusters/{id}/backups-config is there", "service", kinds=CLOUD)
def backups_config(run: Run) -> str | None:
    value = _get(run, run.target.path("backups-config"), "The configuration of backups")
    for key in ("enabled", "frequency_minutes", "retention_days"):
        expect(key in value, f"The configuration of backups has no {key}, but: {sorted(value)}.")
    return f"every {value['frequency_minutes']} minutes, kept {value['retention_days']} days"


@check("rename-database", "PATCH renames a database, by either path", "service", kinds=CLOUD)
def rename_database(run: Run) -> str | None:
    names = [run.names(f"name_{number}") for number in range(3)]
    base = run.target.path("databases")
    made = run.api.ask("POST", base, {"name": names[0]})
    expect(made.status == 200, f"POST /databases answered {made}")
    first = run.api.ask("PATCH", f"{base}/{names[0]}", {"new_name": names[1]})
    expect(first.status == 200, f"PATCH /databases/{{name}} answered {first}, but the service renames a database.")
    second = run.api.ask("PATCH", base, {"name": names[1], "new_name": names[2]})
    expect(second.status == 200, f"PATCH /databases answered {second}, but the service renames a database.")
    listed = [name for name in run.target.databases() if name in names]
    expect(listed == [names[2]], f"After two renames the API lists {len(listed)} of the names, expected the last one.")
    gone = run.api.ask("DELETE", f"{base}/{names[2]}")
    expect(gone.status == 200, f"DELETE /databases/{{name}} answered {gone}")
    return None


@check("sort-order", "pagination.sort_order and sort_by are heeded", "service", kinds=CLOUD)
def sort_order(run: Run) -> str | None:
    def names(order: str) -> list[str]:
        query = {"pagination__sort_order": order, "pagination__limit": "500"}
        read: list[str] = []
        token: dict[str, str] = {}
        for _page in range(50):
            value = _get(run, run.target.path("databases"), "The list of databases", **query, **token)
            read += [str(item["name"]) for item in value["databases"]]
            following = (value.get("pagination") or {}).get("next_page")
            if not following:
                break
            token = {"pagination__page": following}
        return read

    up, down = names("ASC"), names("DESC")
    expect(up == down[::-1], f"pagination.sort_order is not heeded: ascending {up[:3]}, descending {down[:3]}.")
    query = {"pagination__sort_by": "SIZE"}
    _refused(run.api.ask("GET", "clusters", **query), 400, "pagination.sort_by=SIZE")
    return None


@check("previous-page", "a page names the page before it", "service", kinds=CLOUD)
def previous_page(run: Run) -> str | None:
    path = run.target.path("databases")
    first = _get(run, path, "The list of databases", pagination__limit="1")
    token = (first.get("pagination") or {}).get("next_page")
    expect(bool(token), "pagination.limit=1 is not heeded: a list of three databases has one page.")
    second = _get(run, path, "The list of databases", pagination__limit="1", pagination__page=str(token))
    back = (second.get("pagination") or {}).get("previous_page")
    expect(bool(back), "pagination.previous_page is missing on the second page, but the service sends it.")
    again = _get(run, path, "The list of databases", pagination__limit="1", pagination__page=str(back))
    expect(again["databases"] == first["databases"], "pagination.previous_page does not lead back to the first page.")
    return None


@check("usage-limits", "a serverless cluster has usage_limits", "service", kinds=CLOUD)
def usage_limits(run: Run) -> str | None:
    if not run.target.is_serverless:
        raise SkippedError("The cluster is a dedicated one.")
    limits = run.target.cluster["config"]["serverless"].get("usage_limits")
    if run.target.plan == "STANDARD" or run.target.is_sandbox:
        expect(bool(limits), "config.serverless.usage_limits is missing, but the service sends it for this plan.")
    wrong = [key for key, value in (limits or {}).items() if not re.fullmatch("[0-9]+", str(value))]
    expect(not wrong, f"config.serverless.usage_limits has values that are not numbers: {wrong}.")
    return json.dumps(limits)


@check("organization", "GET /organization is there", "service", kinds=CLOUD)
def organization(run: Run) -> str | None:
    value = _get(run, "organization", "The organization")
    expect({"id", "label", "name", "created_at"} <= set(value), f"The organization has only {sorted(value)}.")
    return None


@check("nodes", "GET /clusters/{id}/nodes is there", "service", kinds=CLOUD)
def nodes(run: Run) -> str | None:
    answer = run.api.ask("GET", run.target.path("nodes"))
    if run.target.is_serverless and answer.status == 400:
        return f"of a serverless cluster: {answer}"
    expect(answer.status == 200, f"The nodes: GET /clusters/{{id}}/nodes answered {answer}, but the service has it.")
    found = answer.value.get("nodes")
    expect(isinstance(found, list), "The answer has no list of nodes.")
    return f"{len(found or [])} nodes"


@check("available-regions", "GET /clusters/available-regions is there", "service", kinds=CLOUD)
def available_regions(run: Run) -> str | None:
    value = _get(run, "clusters/available-regions", "The regions", pagination__limit="500")
    expect(bool(value.get("regions")), "The list of regions is empty.")
    wanted = {"name", "location", "provider", "serverless", "distance"}
    missing = wanted - set(value["regions"][0])
    expect(not missing, f"A region has no {', '.join(sorted(missing))}.")
    return None


@check("versions", "GET /cluster-versions is there", "service", kinds=CLOUD)
def versions(run: Run) -> str | None:
    value = _get(run, "cluster-versions", "The major versions", pagination__limit="500")
    found = [f"{item['version']} {item['support_status']}" for item in value.get("versions") or []]
    expect(bool(found), "The list of major versions is empty.")
    return ", ".join(found)


@check("limit-not-a-number", "pagination.limit=abc is refused with 400", "service", kinds=CLOUD)
def limit_not_a_number(run: Run) -> str | None:
    answer = run.api.ask("GET", run.target.path("sql-users"), pagination__limit="abc")
    _refused(answer, 400, "pagination.limit=abc")
    return str(answer)


@check("length-not-a-number", "Content-Length: abc is refused with 400", "service", kinds=CLOUD)
def length_not_a_number(run: Run) -> str | None:
    # A read needs no body, so that nothing else can be wrong with it.
    answer = run.api.ask("GET", run.target.path(), headers={"Content-Length": "abc"})
    # Whatever is in front of the service may refuse it, in words of its own.
    expect(answer.status == 400, f"Content-Length: abc was answered {answer}, but the service answers 400.")
    return None


@check("chunked-body", "a body in chunks is accepted", "service", kinds=CLOUD)
def chunked_body(run: Run) -> str | None:
    name = run.names("chunked")
    body = json.dumps({"name": name}).encode()
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    answer = run.api.ask("POST", run.target.path("databases"), headers=headers, raw=chunks)
    expect(answer.status == 200, f"A body in chunks was answered {answer}, but the service accepts it.")
    expect(answer.value.get("name") == name, "A body in chunks was accepted, but not read.")
    run.api.ask("DELETE", run.target.path(f"databases/{name}"))
    return None


@check("reserved-user", "a user whose name begins with pg_ is refused with 400", "service", kinds=CLOUD)
def reserved_user(run: Run) -> str | None:
    body = {"name": f"pg_{run.names('reserved')}", "password": run.password()}
    answer = run.api.ask("POST", run.target.path("sql-users"), body)
    _refused(answer, 400, "POST /sql-users with a name that begins with pg_")
    return str(answer)


@check("reserved-database", "a database postgres or system cannot be created: 409", "service", kinds=CLOUD)
def reserved_database(run: Run) -> str | None:
    answers = []
    listed = run.target.databases()
    for name in ("postgres", "system"):
        # It would be created, and could not be told from somebody else's.
        expect(name in listed, f"POST /databases with the name {name} is not tried: the API does not list it.")
        answer = run.api.ask("POST", run.target.path("databases"), {"name": name})
        _refused(answer, 409, f"POST /databases with the name {name}")
        answers.append(f"{name}: {answer}")
    return "; ".join(answers)


@check("system-databases", "the databases postgres and system are listed", "service", kinds=CLOUD)
def system_databases(run: Run) -> str | None:
    missing = {"postgres", "system"} - set(run.target.databases())
    expect(not missing, f"GET /databases does not list {', '.join(sorted(missing))}, but every cluster has them.")
    return None


@check(
    "ca-paths", "which path of the CA does the connection string have, by operating system?", "question", kinds=CLOUD
)
def ca_paths(run: Run) -> str | None:
    paths = {}
    for system in ("MAC", "LINUX", "WINDOWS"):
        value = _get(run, run.target.path("connection-string"), "The connection string", os=system)
        query = parse_qs(urlsplit(str(value["connection_string"])).query)
        paths[system] = "".join(query.get("sslrootcert", ["no path"])).replace(
            str(run.target.cluster["name"]), "CLUSTER"
        )
    if not run.target.is_serverless:
        expect(paths["WINDOWS"] != paths["MAC"], f"The path of the CA is the same for Windows and Mac: {paths['MAC']}.")
    _refused(
        run.api.ask("GET", run.target.path("connection-string"), os="BEOS"), 400, "A connection string for os=BEOS"
    )
    return ", ".join(f"{system}: {path}" for system, path in paths.items())
