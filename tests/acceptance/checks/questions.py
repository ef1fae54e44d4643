# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the specification of the Cloud API leaves open, answered by asking."""

from __future__ import annotations

from typing import Any

from tests.acceptance.api import Answer
from tests.acceptance.names import belongs
from tests.acceptance.run import Run, SkippedError, check, expect
from tests.acceptance.target import Target

# Networks of RFC 5737, which nobody connects from.
SPARE = "192.0.2"
CLOUD = ("cloud",)
READY = ("CREATED", "LOCKED")


def _entry(run: Run, address: str, mask: int, **more: Any) -> dict[str, Any]:
    """An allowlist entry of this run."""
    return {
        "cidr_ip": address, "cidr_mask": mask, "name": f"{run.names.entry_prefix}question", "sql": True, "ui": False,
        **more,
    }  # fmt: skip


def _entries(target: Target) -> list[dict[str, Any]]:
    assert target.api is not None
    return list(target.api.items(target.path("networking/allowlist"), "allowlist"))


def _spare(run: Run, address: str, mask: int) -> None:
    """Skip where somebody has such an entry: it would be changed."""
    for entry in _entries(run.target):
        if (entry["cidr_ip"], entry["cidr_mask"]) == (address, mask) and not belongs(str(entry.get("name") or "")):
            raise SkippedError(f"The allowlist has an entry {address}/{mask} of somebody else.")


def _remove(run: Run) -> None:
    """Remove the entries of these questions."""
    for entry in _entries(run.target):
        if entry.get("name") == f"{run.names.entry_prefix}question":
            run.api.ask("DELETE", run.target.path(f"networking/allowlist/{entry['cidr_ip']}/{entry['cidr_mask']}"))


def _post(run: Run, entry: dict[str, Any]) -> Answer:
    return run.api.ask("POST", run.target.path("networking/allowlist"), entry)


@check("duplicates", "what answers a second entry, user or database of the same name?", "question", kinds=CLOUD,
       after=("database",))  # fmt: skip
def duplicates(run: Run) -> str | None:
    _spare(run, f"{SPARE}.200", 32)
    first = _post(run, _entry(run, f"{SPARE}.200", 32))
    expect(first.status == 200, f"POST of an allowlist entry answered {first}")
    again = {"entry": _post(run, _entry(run, f"{SPARE}.200", 32))}
    _remove(run)
    user = {"name": run.names("twice"), "password": run.password()}
    once = run.api.ask("POST", run.target.path("sql-users"), user)
    expect(once.status == 200, f"POST of a SQL user answered {once}")
    again["user"] = run.api.ask("POST", run.target.path("sql-users"), user)
    again["database"] = run.api.ask("POST", run.target.path("databases"), {"name": run.names("sample")})
    for kind, answer in again.items():
        known = answer.status == 409 or answer.value.get("code") == 6 or "already exists" in str(answer).lower()
        expect(
            known or (kind == "entry" and answer.status == 200),
            f"A second {kind} of the same name was answered {answer}, which the client does not take for a duplicate.",
        )
    return "; ".join(f"{kind}: {answer}" for kind, answer in again.items())


@check("host-bits", "what becomes of host bits in a network?", "question", kinds=CLOUD)
def host_bits(run: Run) -> str | None:
    for address in (f"{SPARE}.217", f"{SPARE}.208"):
        _spare(run, address, 28)
    answer = _post(run, _entry(run, f"{SPARE}.217", 28))
    kept = [entry["cidr_ip"] for entry in _entries(run.target) if entry["cidr_ip"].startswith(f"{SPARE}.2")]
    _remove(run)
    if answer.status != 200:
        return f"refused: {answer}"
    return (
        "the network's address is kept" if kept == [f"{SPARE}.208"] else f"the address is kept as it was sent: {kept}"
    )


@check("put-entry", "does PUT of an existing entry change it, and does PATCH keep a name that is left out?", "question",
       kinds=CLOUD)  # fmt: skip
def put_entry(run: Run) -> str | None:
    _spare(run, f"{SPARE}.201", 32)
    entry = _entry(run, f"{SPARE}.201", 32)
    expect(_post(run, entry).status == 200, "The entry could not be added.")
    path = run.target.path(f"networking/allowlist/{SPARE}.201/32")
    put = run.api.ask("PUT", path, {"name": entry["name"], "sql": False, "ui": False})
    patch = run.api.ask("PATCH", path, {"sql": True, "ui": False})
    kept = next((e for e in _entries(run.target) if e["cidr_ip"] == f"{SPARE}.201"), {})
    run.api.ask("DELETE", path)
    name = "keeps the name" if kept.get("name") == entry["name"] else f"makes the name {kept.get('name')!r}"
    return f"PUT: {put}; PATCH without a name: {patch}, {name}"


@check("ui-entry", "may an entry of a cluster without a DB Console have ui?", "question", kinds=CLOUD)
def ui_entry(run: Run) -> str | None:
    if not run.target.is_serverless:
        raise SkippedError("The cluster has a DB Console.")
    _spare(run, f"{SPARE}.202", 32)
    answer = _post(run, _entry(run, f"{SPARE}.202", 32, ui=True))
    _remove(run)
    return str(answer)


@check("short-password", "how is a password refused that is too short?", "question", kinds=CLOUD)
def short_password(run: Run) -> str | None:
    answer = run.api.ask("POST", run.target.path("sql-users"), {"name": run.names("short"), "password": "a"})
    if answer.status == 200:
        # It is an administrator, and anybody could guess its password.
        run.api.ask("DELETE", run.target.path(f"sql-users/{run.names('short')}"))
    expect(answer.status in (200, 400), f"A password of one letter was answered {answer}, expected 400.")
    return str(answer)


@check("unknown-ca", "what answers the address of the CA for a cluster that does not exist?", "question", kinds=CLOUD)
def unknown_ca(run: Run) -> str | None:
    answer = run.api.ask("GET", "//clusters/00000000-0000-0000-0000-000000000000/cert", authenticated=False)
    is_pem = answer.content.startswith(b"-----BEGIN CERTIFICATE")
    expect(not is_pem, "A CA came for a cluster that does not exist.")
    return f"{answer}, {len(answer.content)} bytes"


@check("cluster-state", "how does the service describe a cluster that is paused or limited?", "question", kinds=CLOUD)
def cluster_state(run: Run) -> str | None:
    cluster = run.api.ask("GET", run.target.path()).value
    facts = {key: cluster.get(key) for key in ("state", "operation_status", "upgrade_status", "delete_protection")}
    limits = ((cluster.get("config") or {}).get("serverless") or {}).get("usage_limits")
    words = ", ".join(f"{key} {value}" for key, value in facts.items() if value)
    note = "" if cluster.get("state") in READY else "; the words of its refusals are in the checks that failed"
    return f"{words}; usage limits {limits}{note}. Run it on a paused or limited cluster to see the words of those."


@check("rate-limit", "how does the service refuse too many requests?", "question", kinds=CLOUD, asked="rate")
def rate_limit(run: Run) -> str | None:
    for number in range(1, 41):
        answer = run.api.ask("GET", run.target.path(), patient=False)
        if answer.status != 200:
            return f"request {number} at once: {answer}, Retry-After {answer.retry_after or 'missing'}"
    return "40 requests at once were answered"
