# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  apps:
    description:
      - The apps of the host. The suboptions are the keys of each app.
      - The default is one app with the default of every key.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the app. Letters, digits, C(.), C(_) and C(-), at most 63 characters.
          - The default is the name of its folder.
        type: str
      connection:
        description: Name of its connection. The default is the only connection there is.
        type: str
      folder:
        description: Folder of the app on the host, an absolute path or one that begins with C(~/).
        type: str
        default: ~/crdb-app
      user:
        description:
          - System user who owns the files. The default is the user that the task runs as.
          - Another user needs C(become).
        type: str
        default: ""
      group:
        description: Group of the files. The default is the user's own group.
        type: str
        default: ""
      frameworks:
        description:
          - Frameworks of the catalogue, as a list or as text with commas. An entry is a name, or a dictionary of
            C(name), C(version) (in quotes), C(variant) and C(password_place).
          - Without any, only the environment file is written.
        type: raw
      environment_file:
        description: File in the folder that holds C(DATABASE_URL), mode 0600.
        type: str
        default: .env
      password_place:
        description:
          - Where the password goes. V(env) is the environment file, V(inline) is the framework's own file, mode 0600.
          - The default is V(env) where the framework can read it.
        type: str
      samples:
        description:
          - Write a small program that uses it beside each configuration. The default is the option C(samples) of
            M(crdb.onboard.app_config).
        type: bool
      pool_size:
        description:
          - Most connections that one process of the app keeps open, where the framework has a pool.
          - CockroachDB recommends about four active connections for each vCPU of the cluster, over all processes.
        type: int
        default: 10
      pool_lifetime:
        description:
          - Seconds after which a pool replaces a connection. CockroachDB recommends 5 to 30 minutes. V(0) means never.
        type: int
        default: 900
      connect_timeout:
        description: Seconds that a new connection may take. A Serverless cluster that sleeps takes some to wake up.
        type: int
        default: 15
      keepalive:
        description:
          - Seconds of silence after which a connection is kept alive by TCP, because load balancers end silent
            connections. V(0) leaves it to the operating system.
        type: int
        default: 60
      psql_service:
        description:
          - Name for C(psql service=NAME). Writes a section of the user's C(~/.pg_service.conf) and a line of
            C(~/.pgpass).
        type: str
        default: ""
      trust_store:
        description:
          - Write a PKCS12 trust store with the CA for Java, C(certs/truststore.p12), and the arguments that make a JVM
            use it, C(certs/truststore.args).
        type: bool
        default: false
      service:
        description: Its systemd unit, which gets a drop-in that loads the environment file.
        type: str
        default: ""
      reload:
        description:
          - Command that makes the app read its configuration again, as a list, or as a dictionary of C(argv) or
            C(shell), C(run_as) (V(app) or V(root)) and C(timeout) in seconds. V(false) means none.
          - The default with O(apps.service) is C(systemctl reload-or-restart).
        type: raw
      health:
        description:
          - Command that ends with 0 when the app works, in the form of O(apps.reload), with C(retries) and C(delay) in
            seconds. V(false) means none.
          - The default with O(apps.service) is C(systemctl is-active).
        type: raw
"""
