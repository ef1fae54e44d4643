# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoints:
    description:
      - The endpoints to check, each with all that is needed to connect. Nothing is looked up for them on the host.
    type: list
    elements: dict
    suboptions:
      name:
        description: What the report calls the endpoint. The default is its host.
        type: str
      for_app:
        description: The app whose connection it is.
        type: str
        default: ""
      run_as:
        description:
          - The user of the host with whose rights the check runs; another one than the module's needs root.
          - The default is the user that the module runs as.
        type: str
        default: ""
      deployment:
        description: The kind of cluster, which some faults mean different things for.
        type: str
        choices: [serverless, dedicated, self_hosted]
        default: serverless
      host:
        description: Host name or IP address. The server's certificate has to hold it.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 26257
      database:
        description: The database of the start-up message; for routing by database, C(ROUTING-ID.DATABASE).
        type: str
        required: true
      options:
        description: The options of the start-up message, such as C(--cluster=funky-skunk-123).
        type: str
      user:
        description: SQL user.
        type: str
        required: true
      password:
        description: The user's password. Leave it out for a client certificate.
        type: str
      routing_id:
        description: The routing id of a serverless cluster, for the report's sentences only.
        type: str
      ca_file:
        description:
          - The file on the host with the CA certificate (PEM), or V(public) for the system's public roots.
          - The default is the file that libpq takes (C(PGSSLROOTCERT), or C(~/.postgresql/root.crt) if it exists), else
            the public roots.
        type: str
      ca_text:
        description: The CA certificate itself (PEM), used in place of a file.
        type: str
      sslcert:
        description: The file on the host with the client certificate (PEM), for self-hosted clusters.
        type: str
      sslkey:
        description: The file on the host with the client certificate's key (PEM), not encrypted, mode 0600.
        type: str
      sslcrl:
        description:
          - The file on the host with lists of revoked certificates.
          - The default is libpq's. It takes E(PGSSLCRL), else C(~/.postgresql/root.crl) if that exists.
        type: str
      sslcrldir:
        description: The folder on the host with such lists, under OpenSSL's names for them (C(openssl rehash)).
        type: str
      jwt:
        description:
          - A JSON Web Token in place of the password. The options of the start-up message must contain
            C(--crdb:jwt_auth_enabled=true).
        type: str
      jwt_file:
        description: The file on the host with such a token. It is read for each check.
        type: str
      jwt_command:
        description:
          - A program on the host, with its arguments, that writes such a token to its standard output.
        type: list
        elements: str
      hold_password:
        description: Stop where the server asks for the password, without sending it.
        type: bool
        default: false
      tls_only:
        description: Pass once the server's certificate is verified, before anything about the login is sent.
        type: bool
        default: false
"""
