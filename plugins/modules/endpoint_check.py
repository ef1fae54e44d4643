#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_check
short_description: Check endpoints from a host; the worker of crdb.onboard.check
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Runs on the host for M(crdb.onboard.check), which prepares its options on the controller. Use that module in
    playbooks.
  - Checks each endpoint in six stages, and compares the files of the apps with what they should hold.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.endpoints
  - crdb.onboard.projects
attributes:
  check_mode:
    support: full
    details:
      - The check itself runs in check mode too, because it only reads.
  diff_mode:
    support: none
    details:
      - The module changes nothing.
  idempotent:
    support: full
options:
  apps:
    description:
      - What the apps' own files should hold, read back as the app's user. Contents are
        compared by digests.
      - A fault that keeps an app from connecting becomes the verdict of its endpoint if all stages passed. All other
        findings are notes; in check mode all of them are.
    type: list
    elements: dict
    default: []
    suboptions:
      endpoint:
        description: Name of the endpoint in O(endpoints).
        type: str
        required: true
      salt:
        description: The salt of the digests.
        type: str
        required: true
      files:
        description: The files that connect the app.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Absolute path.
            type: str
            required: true
          format:
            description: V(whole) compares the whole file, the others compare each key.
            type: str
            choices: [dotenv, pem, pgpass, service, whole]
            default: whole
          secret:
            description: Whether the file holds a password.
            type: bool
            default: false
          digest:
            description: Digest of the whole content.
            type: str
            default: ""
          variables:
            description: The keys that the file must set; for V(whole), the lines with the password.
            type: list
            elements: dict
            default: []
            suboptions:
              name:
                description: Name of the variable.
                type: str
                required: true
              digest:
                description: Digest of its value.
                type: str
                required: true
              parts:
                description: The parts of a connection string, without its password.
                type: dict
              password_digest:
                description: Digest of the password in the connection string.
                type: str
                default: ""
      ca_file:
        description: The CA file of the app.
        type: str
      ca_fingerprints:
        description: SHA-256 of the certificates that the CA file must contain.
        type: list
        elements: str
        default: []
      sslcert:
        description: The client certificate of the app.
        type: str
      sslkey:
        description: The key of the client certificate.
        type: str
  controller_time:
    description:
      - The time on the controller, in seconds since 1970.
      - If a certificate is valid by the controller's clock but not by this host's, the report names the host's clock as
        the cause.
    type: float
  timeout:
    description: Seconds that the whole check of one endpoint may take.
    type: float
    default: 15.0
  planned:
    description:
      - The files that the inventory's apps have, by path, each with the names of its apps. Files that were written for
        an app of O(managed) and are not among them are listed. By default nothing is looked for.
    type: dict
  managed:
    description: All apps that the inventory has.
    type: list
    elements: str
    default: []
  complete:
    description: Whether the files of other apps are listed too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check one endpoint with the public roots of the host
  crdb.onboard.endpoint_check:
    endpoints:
      - host: db.example.com
        database: bank
        user: max
        password: "{{ bank_password }}"
        ca_file: public
"""

RETURN = r"""
projects:
  description:
    - What each app's project is, by app and language, where one is not as it was assumed. Nothing else was done.
  returned: when a project is not as it was assumed
  type: dict
unmanaged:
  description: The files that are no longer managed, with C(path) and C(apps).
  returned: success
  type: list
  elements: dict
checks:
  description: One report for each endpoint, in the order of O(endpoints).
  returned: when the endpoints are valid
  type: list
  elements: dict
  contains:
    name:
      description: The endpoint's name.
      returned: always
      type: str
      sample: orders
    host:
      description: The endpoint's host.
      returned: always
      type: str
    port:
      description: The endpoint's port.
      returned: always
      type: int
      sample: 26257
    address:
      description: The IP address of the connection or of the failure; null when none was tried.
      returned: always
      type: str
      sample: 203.0.113.7
    ok:
      description: Whether all stages passed.
      returned: always
      type: bool
    code:
      description: The stable name of the diagnosis; V(ok) when all stages passed.
      returned: always
      type: str
      sample: not_in_allowlist
    cause:
      description: One sentence that says what is wrong; empty when nothing is wrong.
      returned: always
      type: str
    cure:
      description: One sentence that says what to do; empty when there is nothing to do.
      returned: always
      type: str
    evidence:
      description:
        - The facts behind the diagnosis. The keys depend on the failure; C(step) is always present.
        - Non-printable characters are removed from a server's text, and it is cut at 300 characters.
      returned: always
      type: dict
      sample:
        step: startup
        severity: FATAL
        sqlstate: 08C00
        server_message: "codeProxyRefusedConnection: connection refused"
        local_address: 10.0.0.5
    stages:
      description: The stages that were reached, each with its time.
      returned: always
      type: list
      elements: dict
      sample:
        - stage: dns
          ok: true
          milliseconds: 2.1
        - stage: tcp
          ok: true
          milliseconds: 11.8
    server:
      description: Facts about the server; empty when the TLS handshake did not succeed.
      returned: always
      type: dict
      sample:
        version: CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu)
        tls_version: TLSv1.3
        cipher: TLS_AES_128_GCM_SHA256
        certificate:
          subject: CN=*.abc.gcp-us-central1.cockroachlabs.cloud
          issuer: C=US, O=Let's Encrypt, CN=R11
          not_before: "2026-10-01T00:00:00Z"
          not_after: "2026-12-30T00:00:00Z"
          sans: ["*.abc.gcp-us-central1.cockroachlabs.cloud"]
          sha256: 5f0c...
        auth_method: SASL (SCRAM-SHA-256)
        user: shop
        database: orders
    password_sent:
      description: Whether the password, or a proof of it, was sent.
      returned: always
      type: bool
    notes:
      description:
        - Remarks that do not change the verdict, each with a stable code.
        - They name slow stages, clocks that differ, clients stricter than libpq, and certificates that expire soon.
      returned: always
      type: list
      elements: dict
      sample:
        - code: slow_dns
          text: "Looking up db.example.com took 2105 ms, where up to 250 is normal: look at this machine's DNS servers."
"""

import math
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import inspect
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import EndpointError
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT, ENDPOINTS, MAX_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import with_findings
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoints
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import STEP_SECONDS, Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.module_utils._files.unmanaged import Scope, of_users, other_users
from ansible_collections.crdb.onboard.plugins.module_utils._project.look import PROJECTS, differing


def _argument_spec() -> dict[str, object]:
    return {
        "endpoints": ENDPOINTS,
        "apps": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "endpoint": {"type": "str", "required": True},
                "salt": {"type": "str", "required": True, "no_log": True},
                "files": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "path": {"type": "str", "required": True},
                        "format": {"type": "str", "choices": sorted(set(FORMATS) - {"link"}), "default": "whole"},
                        "secret": {"type": "bool", "default": False, "no_log": False},
                        "digest": {"type": "str", "default": "", "no_log": True},
                        "variables": {
                            "type": "list",
                            "elements": "dict",
                            "default": [],
                            "options": {
                                "name": {"type": "str", "required": True},
                                "digest": {"type": "str", "required": True, "no_log": True},
                                "parts": {"type": "dict"},
                                "password_digest": {"type": "str", "default": "", "no_log": True},
                            },
                        },
                    },
                },
                "ca_file": {"type": "str"},
                "ca_fingerprints": {"type": "list", "elements": "str", "default": []},
                "sslcert": {"type": "str"},
                "sslkey": {"type": "str", "no_log": False},
            },
        },
        "projects": PROJECTS,
        "controller_time": {"type": "float"},
        "timeout": {"type": "float", "default": DEFAULT_TIMEOUT},
        "planned": {"type": "dict"},
        "managed": {"type": "list", "elements": "str", "default": []},
        "complete": {"type": "bool", "default": False},
    }


class Checker:
    """Check one user's endpoints and the files of the apps that use them."""

    def __init__(self, user: str, endpoints: list[Endpoint], params: dict[str, Any], check_mode: bool) -> None:
        self._user, self._endpoints, self._params, self._check_mode = user, endpoints, params, check_mode

    def run(self, refused: dict[str, list[str]]) -> dict[str, Any]:
        """The reports, and the logins that were refused so far as in check_endpoints: {reports, refused}."""
        controller = self._params["controller_time"]
        skew = None if controller is None or not math.isfinite(controller) else time.time() - controller
        names = {endpoint.name for endpoint in self._endpoints}
        faults = {app["endpoint"]: inspect(app) for app in self._params["apps"] if app["endpoint"] in names}
        reports = [
            with_findings(report, endpoint, faults.get(endpoint.name, []), self._user, only=self._check_mode).as_dict()
            for report, endpoint in zip(
                check_endpoints(self._endpoints, self._params["timeout"], skew, refused), self._endpoints
            )
        ]
        return {"reports": reports, "refused": refused}

    def close(self) -> None:
        """Do nothing: a Checker holds no lock."""


def _check(params: dict[str, Any], check_mode: bool) -> list[dict[str, Any]]:
    """The reports in the order of the endpoints. Raises EndpointError, UnknownOwnerError, OSError."""
    facts = params["endpoints"] or []
    endpoints = [Endpoint.from_dict(entry) for entry in facts]
    owners = {entry["run_as"]: Owner(entry["run_as"]) for entry in facts}
    if any(endpoint.has_token for endpoint in endpoints):
        # Before the users' processes start: they may not be able to read this module's own file.
        from ansible_collections.crdb.onboard.plugins.module_utils._check import token  # noqa: F401
    reports: dict[int, dict[str, Any]] = {}
    refused: dict[str, list[str]] = {}
    # Other users' processes are forked first, before the check of this process starts threads.
    for name, owner in sorted(owners.items(), key=lambda item: not item[1].foreign):
        mine = [number for number, entry in enumerate(facts) if entry["run_as"] == name]
        seconds = STEP_SECONDS + 10 * params["timeout"] * len(mine)
        checker = owner.does(Checker(name, [endpoints[number] for number in mine], params, check_mode), seconds)
        try:
            answer = checker.run(refused)
        finally:
            checker.close()
        refused = answer["refused"]
        reports.update(zip(mine, answer["reports"]))
    return [reports[number] for number in range(len(facts))]


def _unmanaged(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The files that the record has and the inventory does not."""
    if params["planned"] is None:
        return []
    scope = Scope(frozenset(params["managed"]), frozenset({"app_config"}), params["complete"])
    users = {entry["run_as"] for entry in params["endpoints"] or []}
    known = {Owner(user).uid for user in users}
    return of_users([*sorted(users), *(other_users(known) if scope.complete else [])], scope, params["planned"])


def main() -> None:
    module = AnsibleModule(argument_spec=_argument_spec(), supports_check_mode=True)
    params = module.params
    if not 0 < params["timeout"] <= MAX_TIMEOUT:
        module.fail_json(msg=f"timeout must be between 0 and {MAX_TIMEOUT:g} seconds, not {params['timeout']:g}")
    try:
        projects = differing(params["projects"])
        if projects:
            module.exit_json(changed=False, projects=projects, checks=[])
        left = _unmanaged(params)
        reports = _check(params, module.check_mode)
    except (EndpointError, UnknownOwnerError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=f"The check could not be completed: {exc.strerror}.")
    # A server's words are masked already. A mask in our own sentences would give away a password that is one of them.
    module.no_log_values = set()
    module.exit_json(changed=False, checks=reports, unmanaged=left, invocation={"module_args": {}})


if __name__ == "__main__":
    main()
