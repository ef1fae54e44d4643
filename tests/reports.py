# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Made-up results of fleets, in the shape of the modules check and probe, to render reports of."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import STAGES
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import Fleet, Host, read_host

CLUSTER = "funky-skunk-123.abc.gcp-us-central1.cockroachlabs.cloud"
WRITTEN = "2026-11-25T15:20:00Z"
ORIGIN = (
    ("Inventory", "/home/ann/fleet/inventories/production"),
    ("Command", "ansible-playbook playbooks/check.yml -i inventories/production -l 'app*' -e 'crdb_check_formats=...'"),
    ("Version", "crdb.onboard 1.0.0, ansible-core 2.19.0"),
)
NOTE = {
    "code": "slow_tcp",
    "text": "Connecting took 900 ms, where up to 300 is normal: look at this machine's network.",
}
_MEDIANS = {"dns": 2.0, "tcp": 11.0, "tls": 20.0, "route": 25.0, "auth": 55.0, "sql": 4.5}


def passed(name: str = "shop: shop_db", chance: random.Random | None = None, **more: Any) -> dict[str, Any]:
    """A check that passed."""
    chance = chance or random.Random(1)  # noqa: S311 no secret
    stages = [
        {"stage": s, "ok": True, "milliseconds": round(_MEDIANS[s] * chance.lognormvariate(0, 0.5), 1)} for s in STAGES
    ]
    facts = {"name": name, "host": CLUSTER, "port": 26257, "address": "198.51.100.7", "ok": True, "code": "ok"}
    rest = {"cause": "", "cure": "", "evidence": {}, "stages": stages, "server": {}, "password_sent": True}
    return {**facts, **rest, **more}


def refused(
    name: str = "shop: shop_db", address: str = "198.51.100.7", public: str = "203.0.113.7", **more: Any
) -> Any:
    """A check that the allowlist refused; `public` is the host's address as the service sees it."""
    check = passed(name)
    check["stages"] = [{**stage, "ok": stage["stage"] != "route"} for stage in check["stages"][:4]]
    check.update(
        ok=False,
        code="not_in_allowlist",
        cause=f"The proxy at {CLUSTER} ({address}) refuses this machine's address: it is not in the IP allowlist of"
        " cluster funky-skunk-123.",
        cure=f"Add {public}/32 to the IP allowlist of cluster funky-skunk-123, wait 30 s and check {CLUSTER} again.",
        evidence={"step": "startup", "sqlstate": "08C00", "certificate": {"subject": "CN=x", "sans": ["a", "b"]}},
        password_sent=False,
    )
    return {**check, **more}


def unreachable(name: str) -> dict[str, Any]:
    """What Ansible registers for a host that it cannot reach."""
    return {"unreachable": True, "msg": f"Failed to connect to the host via ssh: {name} port 22: timed out"}


def fleet(size: int, endpoints: int = 1, domain: str = "example.com") -> Fleet:
    """A fleet: of 1,000 hosts 37 are not in the allowlist, 11 unreachable, 5 failed before, 3 drivers failed."""
    chance = random.Random(4)  # noqa: S311 no secret
    return Fleet(tuple(_host(number, size, endpoints, chance, domain) for number in range(size)), WRITTEN, ORIGIN)


def _host(number: int, size: int, endpoints: int, chance: random.Random, domain: str) -> Host:
    name = f"app{number:04}.{domain}"
    if size > 1 and number % 97 == 5:
        return read_host(name, unreachable(name))
    if size > 1 and number % 211 == 7:
        return read_host(name, None, lost=True)
    notes = [NOTE] if number % 300 == 9 else []
    first = refused() if size > 1 and number % 27 == 6 else passed(chance=chance, notes=notes)
    others = [passed(f"app{n}: ledger", chance) for n in range(1, endpoints)]
    driver = {"app": "shop", "framework": "django", "verdict": "proved", "message": "", "facts": {}}
    if size > 1 and number % 400 == 1:
        driver.update(verdict="failed", message="connection refused")
    return read_host(name, {"checks": [first, *others]}, {"probes": [driver]})
