#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check
short_description: Check connections to CockroachDB in stages, and name the cause and the cure of a failure
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Connects from the host to each endpoint as an app would, in six stages, and measures each.
  - The stages are C(dns) (the name has addresses), C(tcp) (one of them takes the connection), C(tls) (the server offers
    TLS, and its certificate is verified as libpq's C(verify-full) does), C(route) (the server takes the start-up
    message, so that cluster and address are accepted), C(auth) (the login) and C(sql) (one query is answered, and the
    database exists).
  - A failure has a stable code, one sentence of cause, one of cure, and evidence. The password is in none of them.
  - The password goes out once at most, and only to a server whose certificate was verified. After a refused login,
    the other endpoints with the same login are not tried, because the service locks an address out after failed logins.
    In a run, one host tries a login first while the others wait; they are not tried either after a refusal.
  - Where the inventory has apps, what they would connect with is read back from their files, as their users.
  - The check of an app runs with the rights of the app's user, so that it can read what the app can, and no more.
  - Needs nothing on the host but Python. Endpoints are checked in parallel, up to 16 at once. Nothing is written.
  - Without O(url) and O(endpoints), the connections of the host's apps are taken from the inventory.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.endpoints
attributes:
  check_mode:
    support: full
    details:
      - The check itself runs in check mode too, because it only reads.
  diff_mode:
    support: none
    details:
      - There is nothing to differ.
  idempotent:
    support: full
options:
  url:
    description:
      - One connection string, such as C(postgresql://USER:PASSWORD@HOST:26257/DATABASE?sslmode=verify-full).
      - It holds a password, so take it from the environment or a vault, and do not write it on the command line.
      - Handled on the controller, and split there; the string itself never reaches the host.
    type: str
  ca_file:
    description:
      - The file on the host with the CA certificate (PEM), for O(url) and for each of O(endpoints) that names no CA.
      - The default is what O(url) names in C(sslrootcert), else the public roots of the host's system.
        C(~/.postgresql/root.crt) is used only when it is given.
    type: str
  endpoints:
    description:
      - What to check, already split. All of it can be used on the host without looking anything up.
    type: list
    elements: dict
  apps:
    description:
      - What the apps' own files should hold, read back as the app's user. The action plugin makes this list from the
        inventory's apps; contents are compared by digests.
      - What an app could not connect with is a verdict of its endpoint when all stages passed; the rest are notes. In
        check mode all are notes.
    type: list
    elements: dict
    default: []
    suboptions:
      endpoint:
        description: Name of the endpoint in O(endpoints).
        type: str
        required: true
      salt:
        description: What the digests are made with.
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
            description: V(whole) is compared as a whole, the others by their independent keys.
            type: str
            choices: [dotenv, pem, pgpass, service, whole]
            default: whole
          secret:
            description: Whether it holds a password.
            type: bool
            default: false
          digest:
            description: Of the whole content.
            type: str
            default: ""
          variables:
            description: What a file of independent keys has to set, or the lines with the password of another one.
            type: list
            elements: dict
            default: []
            suboptions:
              name:
                description: Name of the variable.
                type: str
                required: true
              digest:
                description: Of its value.
                type: str
                required: true
              parts:
                description: The parts of a connection string, without its password.
                type: dict
              password_digest:
                description: Of the password in it.
                type: str
                default: ""
      ca_file:
        description: The CA file of the app.
        type: str
      ca_fingerprints:
        description: SHA-256 of the certificates that it has to hold.
        type: list
        elements: str
        default: []
      sslcert:
        description: The client certificate of the app.
        type: str
      sslkey:
        description: Its key.
        type: str
  controller_time:
    description:
      - What the controller's clock says, in seconds since 1970. The action plugin gives it.
      - Where a certificate's dates do not hold by this host's clock and hold by the controller's, the clock is named as
        the cause.
    type: float
  confirm:
    description:
      - Whether the Cloud API is asked why a check failed, where an API key is given (C(COCKROACH_API_KEY) of the
        controller's environment, C(crdb_cloud_api_key_file) or C(crdb_cloud_api_key)). The action plugin does it, and
        only reads.
      - An allowlist's refusal is compared with the public address of the host, which then asks the echo services of
        C(crdb_network_echo). A wrong password and a wrong user are told apart by the list of users.
    type: bool
    default: true
  timeout:
    description:
      - Seconds that the whole check of one endpoint may take. A serverless cluster that sleeps needs some to wake up.
    type: float
    default: 15.0
  fail:
    description: Whether the task fails when an endpoint does not pass. Otherwise it only reports.
    type: bool
    default: true
seealso:
  - module: ansible.builtin.wait_for
    description: Only tells that a port is open, which a serverless cluster's is for everyone.
"""

EXAMPLES = r"""
# Ad hoc, with the connection string from the controller's environment:
#   ansible all -m crdb.onboard.check -a "url={{ lookup('env', 'DATABASE_URL') }}"

- name: Check one connection string from every app server
  crdb.onboard.check:
    url: "{{ lookup('ansible.builtin.env', 'DATABASE_URL') }}"
    ca_file: /srv/shop/certs/ca.crt

- name: Report on two clusters, and go on when one does not answer
  crdb.onboard.check:
    fail: false
    timeout: 30
    endpoints:
      - name: orders
        deployment: serverless
        host: funky-skunk-123.abc.gcp-us-central1.cockroachlabs.cloud
        database: orders
        user: shop
        password: "{{ orders_password }}"
        routing_id: funky-skunk-123
      - name: ledger
        deployment: dedicated
        host: ledger-xyz.gcp-us-east1.cockroachlabs.cloud
        database: ledger
        user: shop
        password: "{{ ledger_password }}"
        ca_file: /srv/shop/certs/ledger-ca.crt
  register: connectivity

- name: Wait until the database lets the app in; a password that was refused is not sent again
  crdb.onboard.check:
    url: "{{ lookup('ansible.builtin.env', 'DATABASE_URL') }}"
    timeout: 10
  register: database
  until: database is succeeded
  retries: 20
  delay: 15
"""

RETURN = r"""
ok:
  description: Whether every endpoint passed.
  returned: when the action plugin of the same name ran
  type: bool
withheld:
  description:
    - The inventory's apps whose own drivers should not log in, each with the code of its check, because the password in
      their files was refused or is not the one that was tried.
  returned: when the action plugin of the same name ran
  type: dict
  sample:
    shop: password_rejected
checks:
  description: One report an endpoint, in the order given.
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
      description: The IP address that was connected to, or that the failure is about; null when none was tried.
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
      description: One sentence on what is wrong; empty when nothing is.
      returned: always
      type: str
    cure:
      description: One sentence on what to do; empty when nothing has to be done.
      returned: always
      type: str
    evidence:
      description:
        - What the diagnosis rests on. The keys depend on the failure; C(step) is always there.
        - A server's text has its non-printable characters taken out and is cut at 300 characters.
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
      description: What was learned of the server; empty when TLS was not reached.
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
      description: Whether the login got so far that the password, or a proof of it, was sent.
      returned: always
      type: bool
    notes:
      description:
        - What is worth saying beside the verdict, and does not change it; each with a stable code.
        - A stage that took longer than is normal, clocks that differ, clients stricter than libpq, what ends soon.
      returned: always
      type: list
      elements: dict
      sample:
        - code: slow_dns
          text: "Looking up db.example.com took 2105 ms, where up to 250 is normal: look at this machine's DNS servers."
"""

import math
import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import inspect
from ansible_collections.crdb.onboard.plugins.module_utils._check.check import (
    Endpoint,
    EndpointError,
    check_endpoints,
    failure_text,
    with_findings,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT, ENDPOINTS, MAX_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner, UnknownOwner


def _argument_spec() -> dict[str, object]:
    return {
        "url": {"type": "str", "no_log": True},
        "ca_file": {"type": "str"},
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
                        "format": {"type": "str", "choices": sorted(FORMATS), "default": "whole"},
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
        "controller_time": {"type": "float"},
        "confirm": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": DEFAULT_TIMEOUT},
        "fail": {"type": "bool", "default": True},
    }


class Checker:
    """The check of one user's endpoints, and of the files that their apps connect by."""

    def __init__(self, user: str, endpoints: list[Endpoint], params: dict[str, Any], check_mode: bool) -> None:
        self._user, self._endpoints, self._params, self._check_mode = user, endpoints, params, check_mode

    def run(self, refused: dict[str, str]) -> dict[str, Any]:
        """The reports, and which logins were `refused` so far; see check_endpoints."""
        controller = self._params["controller_time"]
        skew = None if controller is None or not math.isfinite(controller) else time.time() - controller
        names = {endpoint.name for endpoint in self._endpoints}
        found = {app["endpoint"]: inspect(app) for app in self._params["apps"] if app["endpoint"] in names}
        reports = [
            with_findings(report, endpoint, found.get(endpoint.name, []), self._user, only=self._check_mode).as_dict()
            for report, endpoint in zip(
                check_endpoints(self._endpoints, self._params["timeout"], skew, refused), self._endpoints
            )
        ]
        return {"reports": reports, "refused": refused}

    def close(self) -> None:
        """Nothing to let go."""


def _check(params: dict[str, Any], check_mode: bool) -> list[dict[str, Any]]:
    """The reports in the order of the endpoints. Raises EndpointError, UnknownOwner, OSError."""
    facts = [_with_ca(entry, params["ca_file"]) for entry in params["endpoints"]]
    endpoints = [Endpoint.from_dict(entry) for entry in facts]
    owners = {entry["run_as"]: Owner(entry["run_as"]) for entry in facts}
    reports: dict[int, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    # Other users' children first: they would not have the threads of one's own check.
    for name, owner in sorted(owners.items(), key=lambda item: not item[1].foreign):
        mine = [number for number, entry in enumerate(facts) if entry["run_as"] == name]
        checker = owner.does(Checker(name, [endpoints[number] for number in mine], params, check_mode))
        try:
            answer = checker.run(refused)
        finally:
            checker.close()
        refused = answer["refused"]
        reports.update(zip(mine, answer["reports"]))
    return [reports[number] for number in range(len(facts))]


def main() -> None:
    module = AnsibleModule(argument_spec=_argument_spec(), supports_check_mode=True)
    params = module.params
    if params["endpoints"] is None:
        module.fail_json(
            msg="The module got no endpoints on the host: url and the inventory are handled on the controller, by the"
            " action plugin of the same name, so call it by its full name crdb.onboard.check."
        )
    if not 0 < params["timeout"] <= MAX_TIMEOUT:
        module.fail_json(msg=f"timeout {params['timeout']:g} is not between 0 and {MAX_TIMEOUT:g} seconds")
    try:
        reports = _check(params, module.check_mode)
    except (EndpointError, UnknownOwner) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=f"The check did not end: {exc.strerror}.")
    result = {"changed": False, "checks": reports}
    if params["fail"] and not all(report["ok"] for report in reports):
        module.fail_json(msg=failure_text(reports), **result)
    module.exit_json(**result)


def _with_ca(facts: dict[str, Any], ca_file: Optional[str]) -> dict[str, Any]:
    return facts if facts.get("ca_file") or facts.get("ca_text") else {**facts, "ca_file": ca_file}


if __name__ == "__main__":
    main()
