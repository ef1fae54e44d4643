# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import resolve

_REGION = ("name", "sql_dns", "internal_dns", "private_endpoint_dns", "primary")


class ActionModule(CloudAction):
    """Tell what the API knows of a cluster, and the connection to it; nothing is changed."""

    OPTIONS = "cluster_info"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the facts."""
        settings = self.inventory(arguments).settings()
        cluster = _cluster.lookup(settings, arguments["name"])
        result: dict[str, Any] = {
            "changed": False,
            "id": cluster["id"],
            "name": cluster["name"],
            "plan": cluster.get("plan"),
            "deployment": _cluster.deployment(cluster),
            "state": cluster.get("state"),
            "version": cluster.get("cockroach_version"),
            "routing_id": ((cluster.get("config") or {}).get("serverless") or {}).get("routing_id"),
            "regions": [{key: region.get(key) for key in _REGION} for region in cluster.get("regions") or []],
            "entry_limit": _cluster.entry_limit(cluster),
            "ca_url": f"{settings.url}/clusters/{cluster['id']}/cert",
        }
        facts = _cluster.facts_of(settings, arguments["name"], arguments["region"], arguments["endpoint"])
        facts = {key: value for key, value in facts.items() if not key.startswith("ca_")}
        user = arguments["user"]
        connection = resolve({**facts, "user": user or "user", "database": arguments["database"]})
        result["connection"] = {**facts, "database": arguments["database"], **({"user": user} if user else {})}
        if user:
            result["connection_string"] = connection.url()
        return result
