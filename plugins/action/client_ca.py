# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority

_LONGEST = 100 * 366


class ActionModule(OnboardingAction):
    """Make a client CA on the controller. Nothing else of this collection makes one."""

    _requires_connection = False

    OPTIONS = "client_ca"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the files, and what it means to have them."""
        if authorities.MISSING:
            raise OnboardingError(
                f"The controller's Python does not have {authorities.MISSING}. Install the packages of"
                " requirements/controller.txt for it."
            )
        lifetime = arguments["lifetime"]
        if not 1 <= lifetime <= _LONGEST:
            raise OnboardingError(f"lifetime: {lifetime} must be from 1 to {_LONGEST} days.")
        paths = self.controller_paths()
        certificate, key = paths.find(arguments["certificate_file"]), paths.find(arguments["key_file"])
        vault = self._loader._vault
        encrypted = bool(vault is not None and vault.secrets)
        report = [
            f"Whoever reads {key} can log in as any SQL user, also root, to every cluster that trusts {certificate}."
            " Nobody can take that back for one certificate. Keep the key off hosts and out of version control, and"
            " keep a copy in a safe place.",
            "It is encrypted with this run's vault secret."
            if encrypted
            else f"It is not encrypted, mode 0600. To encrypt it: ansible-vault encrypt {key}",
            f"Next: make the cluster trust it. Self-hosted: put {certificate} on every node as ca-client.crt, beside a"
            " client.node.crt of this CA, as the page `cockroach cert` says. Advanced: run cluster_client_ca.yml.",
        ]
        authority.refuse_existing(certificate, key)
        if self._task.check_mode:
            return {"changed": True, "report": [f"A client CA would be made: {certificate} and {key}.", *report]}
        made = authority.create(certificate, key, lifetime, vault)
        report.insert(0, f"Made a client CA, valid until {made.not_after:%Y-%m-%d}: {certificate} and its key {key}.")
        return {
            "changed": True,
            "certificate_file": certificate,
            "key_file": key,
            "fingerprint": made.fingerprint,
            "not_after": made.not_after.isoformat(),
            "encrypted": encrypted,
            "report": report,
        }
