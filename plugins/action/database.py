# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

_LONGEST = 63
_TRIES = 3


class ActionModule(CloudAction):
    """Create or remove a database of a cluster, once in each run."""

    OPTIONS = "database"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return whether it was, or would be, changed."""
        name = arguments["name"]
        if not name or len(name) > _LONGEST or not name.isprintable() or "." in name or "/" in name:
            raise OnboardingError(
                f"database {name!r}: the name must have 1 to {_LONGEST} characters without '.' and '/', because"
                " the Cloud's proxy cannot route to a name with a dot."
            )
        settings = self.inventory(arguments).settings()
        cluster = _cluster.lookup(settings, arguments["cluster"])
        key = f"database {settings.url} {cluster['id']} {name}"
        check = bool(self._task.check_mode)
        request = [arguments["state"], arguments["force"], check]
        return self.once(key, request, lambda: self._reconcile(settings, cluster, arguments, check=check))

    def _reconcile(
        self, settings: Settings, cluster: dict[str, Any], arguments: dict[str, Any], *, check: bool
    ) -> dict[str, Any]:
        api = CloudApi(settings)
        name = arguments["name"]
        before = api.databases(cluster["id"])
        exists, should_exist = name in before, arguments["state"] == "present"
        if exists and not should_exist and not arguments["force"] and before[name] != 0:
            count = "an unknown number of" if before[name] is None else before[name]
            raise OnboardingError(
                f"The database {name} of {cluster['name']} has {count} tables, which would be lost. Set"
                " force: true to remove it anyway."
            )
        for attempt in range(0 if check or exists == should_exist else _TRIES):
            try:
                (api.create_database if should_exist else api.remove_database)(cluster["id"], name)
                break
            except (ExistsError, NotFoundError) as exc:
                if should_exist == isinstance(exc, ExistsError):
                    break
                raise
            except CloudError as exc:
                if not exc.uncertain or attempt + 1 == _TRIES:
                    raise
        words = {True: "present\n", False: "absent\n"}
        header = f"database {name} of {cluster['name']}"
        result: dict[str, Any] = {"changed": exists != should_exist, "cluster": cluster["name"], "name": name}
        if self._task.diff:
            result["diff"] = {
                "before_header": header,
                "after_header": header,
                "before": words[exists],
                "after": words[should_exist],
            }
        return result
