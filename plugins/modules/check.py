#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check
short_description: Check connections to CockroachDB in stages, and name the cause and the cure of a failure
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Connects from the host to each endpoint as an app would, in six stages, and measures each stage.
  - The stages are C(dns) (the name has addresses), C(tcp) (an address accepts the connection), C(tls) (the server
    offers TLS, and its certificate is verified as libpq's C(verify-full) does), C(route) (the server accepts the
    start-up message, so cluster and address are accepted), C(auth) (the login) and C(sql) (a query is answered, and
    the database exists).
  - A failure has a stable code, one sentence of cause, one of cure, and evidence. None of them contains the password.
  - The password is sent once at most, and only to a server whose certificate was verified. After a rejected login,
    other endpoints with the same login are not tried, because the service locks an address out after failed logins. In
    a run, one host tries a login first while the others wait.
  - The check reads the apps' files back and compares them with what they should hold. Each check runs with the rights
    of the app's user.
  - Needs only Python on the host. Up to 16 endpoints are checked in parallel. Nothing is written.
  - Without O(url) and O(endpoints), the connections of O(apps) are checked. When nothing gives a connection and the
    host is the controller itself, the connections in the files that this collection wrote for the current user are
    checked.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.endpoints
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
    details:
      - The check also runs in check mode, because it only reads.
  diff_mode:
    support: none
    details:
      - There is nothing to compare.
  idempotent:
    support: full
options:
  url:
    description:
      - One connection string, such as C(postgresql://USER:PASSWORD@HOST:26257/DATABASE?sslmode=verify-full).
      - It contains a password. Take it from the environment or a vault, and do not write it on the command line.
      - It is split on the controller. The string itself never reaches the host.
      - libpq's keyword form (C(host=... user=...)) is read too.
      - The server is verified as C(sslmode=verify-full) does, whatever the string says; a note says what it would do.
      - What clients built on libpq would refuse or do differently is a note. With frameworks built on libpq in O(apps),
        it is the verdict.
    type: str
  ca_file:
    description:
      - The file on the host with the CA certificate (PEM), for O(url) and for each of O(endpoints) that names no CA.
      - The default is what O(url) names in C(sslrootcert), else the file that libpq takes (C(PGSSLROOTCERT), or
        C(~/.postgresql/root.crt) if it exists), else the public roots of the host's system.
    type: str
  ask:
    description:
      - Ask at the terminal for the connection string, for the password or for the CA, when nothing else gives it; see
        M(crdb.onboard.connection).
    type: bool
    default: false
  confirm:
    description:
      - Whether to ask the Cloud API why a check failed, when there is an API key. Nothing is changed there.
      - An allowlist's refusal is compared with the public address of the host, which the services in O(echo) tell. A
        wrong password and a wrong user are told apart by the list of users.
    type: bool
    default: true
  echo:
    description: HTTPS services that answer a request with the address it came from, tried in this order.
    type: list
    elements: str
    default: [https://checkip.amazonaws.com, https://api.ipify.org]
  echo_ca_file:
    description: PEM file on the host with the CA of these services. The default is the system's roots.
    type: str
    default: ""
  timeout:
    description:
      - Seconds that the whole check of one endpoint may take. A Serverless cluster that sleeps needs some to wake up.
    type: float
    default: 15.0
  complete:
    description:
      - Whether O(apps) are all apps that the host has. A note then names the files that were written for other apps, as
        one names those of frameworks that an app no longer has.
    type: bool
    default: false
  drivers:
    description:
      - Also connect with the driver of each framework, as M(crdb.onboard.probe) does. What is not on the host, such as
        Node.js or a driver, is reported as not proved and does not fail the check; a driver that cannot connect does.
      - V(auto) and V(true) do so, V(false) does not.
    type: raw
    default: auto
  interpreters:
    description: With O(drivers), the programs that run the probes; see M(crdb.onboard.probe).
    type: dict
    default: {}
  environment:
    description: With O(drivers), environment variables for the probes; see M(crdb.onboard.probe).
    type: dict
    default: {}
  fail:
    description: Whether the task fails when an endpoint or a driver does not pass. Otherwise it only reports.
    type: bool
    default: true
seealso:
  - module: ansible.builtin.wait_for
    description: Only tells that a port is open, and a Serverless cluster's port is open for everyone.
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
  returned: success
  type: bool
withheld:
  description:
    - The apps whose own drivers should not log in, each with the code of its check. The password in their files was
      rejected, or is not the one that was tried.
  returned: success
  type: dict
  sample:
    shop: password_rejected
drivers:
  description: The result of the drivers, as M(crdb.onboard.probe) returns it.
  returned: when O(drivers) is not V(false)
  type: dict
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
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
