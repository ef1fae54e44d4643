# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  inputs:
    description:
      - Values of O(connections), and of the options C(apps), C(cloud), C(complete), C(password_store), C(echo) and
        C(echo_ca_file) where the module has them, in one dictionary. An option that is given by itself comes first.
      - The roles use it, because Ansible evaluates one expression faster than four.
    type: dict
    default: {}
  connections:
    description:
      - The connections by name. The suboptions are the keys of each connection.
      - When it is empty, C(COCKROACH_URL) or C(DATABASE_URL) of the controller's environment makes one connection,
        named C(default). C(PGPASSWORD) supplies a password that is missing.
      - A Serverless cluster of CockroachDB Cloud that has no CA source is verified with the public CA that signs the
        certificates of all of them (Let's Encrypt), which then goes to C(~/.postgresql/root.crt).
      - TLS is always C(verify-full). A weaker C(sslmode) is refused, and no option allows one.
      - A password belongs in a lookup, in a vault, or behind C(!unsafe), because Ansible evaluates double braces in a
        plain value.
    type: dict
    default: {}
    suboptions:
      url:
        description:
          - Connection string, such as V(postgresql://max@db.example.com:26257/bank). The schemes C(postgresql),
            C(postgres), C(cockroachdb) and C(jdbc:postgresql) are read.
          - Quotes, spaces and line breaks around it, and C(cockroach sql --url) in front of it, are left out. A
            placeholder in place of the password, such as V(<ENTER-SQL-USER-PASSWORD>), counts as no password.
        type: str
      cluster:
        description:
          - Name or id of a cluster of the Cloud API, which then supplies host, port, routing id and CA.
          - Needs O(connections.user). Cannot be combined with O(connections.url) or O(connections.host).
        type: str
      region:
        description: Region of O(connections.cluster) to connect to. The default is the cluster's own host name.
        type: str
      endpoint:
        description: The endpoint of O(connections.cluster) to connect to.
        type: str
        choices: [public, private]
      deployment:
        description:
          - V(serverless) (sold as Basic and Standard), V(dedicated) (sold as Advanced) or V(self_hosted) (called Core).
          - The default is derived from the other keys.
        type: str
      host:
        description: Host name of the cluster, when the connection string does not have it.
        type: str
      port:
        description: Port, when the connection string does not have it. The default is 26257.
        type: raw
      database:
        description: Database, when the connection string does not have it. The default is C(defaultdb).
        type: str
      user:
        description: SQL user, when the connection string does not have it.
        type: str
      users:
        description:
          - Two SQL users that alternate when credentials are rotated. Use it instead of O(connections.user).
        type: list
        elements: str
      password:
        description: Password of the SQL user, when the connection string does not have it.
        type: str
      jwt:
        description:
          - A JSON Web Token in place of the password, from a lookup. It is for checks, and for the administrator of SQL
            users. Nothing writes it into a file, so apps with frameworks need O(connections.jwt_file) or
            O(connections.jwt_command).
        type: str
      jwt_file:
        description:
          - Absolute path on the host of a file with such a token, which another program renews. The check,
            C(crdb-sql) and the apps read it at each connection.
        type: str
      jwt_command:
        description:
          - A program on the host, with its arguments, that writes such a token to its standard output. No shell runs
            it. The check, C(crdb-sql) and the apps run it at each connection, as the app's user.
        type: str
      routing_id:
        description: Routing id of a Serverless cluster, such as V(funky-skunk-123). It is not the cluster's UUID.
        type: str
      routing:
        description:
          - How a Serverless cluster is named to the server.
          - V(auto) means V(options) when a routing id is known, else V(sni).
        type: str
      sslmode:
        description: The only accepted value is V(verify-full).
        type: str
      sslrootcert:
        description: Path on the host of a CA file that is already there. Use it instead of a CA source.
        type: str
      sslcert:
        description: Path on the host of a client certificate (PEM), for self-hosted clusters.
        type: str
      sslkey:
        description: Path on the host of the client certificate's key. Java needs it in PKCS#8, as C(<sslkey>.pk8).
        type: str
      client_ca_file:
        description:
          - The certificate of the client CA as a PEM file on the controller, where O(connections.client_ca_key_file) is
            its key. Hosts then get client certificates of this CA, which are renewed before they end.
          - The certificate and its key go to C(certs/client.USER.crt) and C(certs/client.USER.key) in the app's folder,
            as C(cockroach cert create-client) names them. Leave O(connections.sslcert) and O(connections.sslkey) out.
        type: str
      client_ca_key_file:
        description:
          - The key of O(connections.client_ca_file), a PEM file on the controller with mode 0600, or one that
            C(ansible-vault) encrypted. It never leaves the controller.
        type: str
      client_cert_file:
        description:
          - A client certificate that another authority issued, as a PEM file on the controller, with the authorities
            between it and the cluster's client CA, if any.
        type: str
      client_cert_key_file:
        description:
          - The key of O(connections.client_cert_file), a PEM file with mode 0600, or one that C(ansible-vault)
            encrypted.
        type: str
      client_cert_command:
        description:
          - A program on the controller, with its arguments, that signs requests. It reads a signing request (PEM) from
            its standard input and writes the certificate (PEM) to its standard output. No shell runs it.
          - C(CRDB_ONBOARD_USER) in its environment is the SQL user, C(CRDB_ONBOARD_DAYS) the lifetime.
        type: str
      client_cert_vault:
        description:
          - URL of HashiCorp Vault, such as V(https://vault.example.com:8200), whose PKI secrets engine signs client
            certificates. The host's signing request is sent to C(/v1/MOUNT/sign/ROLE). It must be https, unless it is
            this machine.
        type: str
      client_cert_vault_mount:
        description: The path of the PKI secrets engine.
        type: str
        default: pki
      client_cert_vault_role:
        description: The role of the PKI secrets engine. It must allow the SQL user as a common name.
        type: str
      client_cert_vault_namespace:
        description: The namespace, for Vault Enterprise and HCP Vault.
        type: str
      client_cert_vault_token:
        description:
          - A token that may update C(MOUNT/sign/ROLE). The default is C(VAULT_TOKEN) of the environment. In an
            inventory, take it from a lookup.
        type: str
      client_cert_vault_ca_file:
        description: A PEM file on the controller with the CA that verifies Vault. The default is public CAs.
        type: str
      client_cert_names:
        description:
          - The names in client certificates, where the cluster maps them to SQL users (C(--cert-principal-map)). The
            first one is the common name, others become DNS names. The default is the SQL user.
        type: list
        elements: str
      client_cert_lifetime:
        description: Days that a new client certificate is valid, but never longer than its CA.
        type: int
        default: 1830
      client_cert_renew_days:
        description:
          - Days before its end at which a client certificate is renewed. The default is a third of its lifetime, at
            most 30 days.
        type: int
      client_key_made_on:
        description:
          - Where the keys of client certificates are made. On the V(host), the key never leaves it, and the controller
            gets a signing request. That needs the program C(openssl) there. V(auto) means hosts that have it.
        type: str
        choices: [auto, host, controller]
        default: auto
      client_key_rotation:
        description:
          - Whether a renewed client certificate keeps its key (V(never)), or gets a new one (V(always)). A program that
            reads the certificate just before a renewal and the key just after it fails to connect with V(always).
          - A key that is lost, or that other users could read, is replaced in any case.
        type: str
        choices: [never, always]
        default: never
      options:
        description: The C(options) of the start-up message, such as V(--cluster=funky-skunk-123).
        type: str
      parameters:
        description: More parameters of the connection string, by name.
        type: dict
      ca_file:
        description:
          - The CA as a PEM file on the controller. A connection has one CA source.
          - A relative path is looked up beside the inventory, then where the playbook looks for files, then in the
            current folder.
        type: str
      ca_url:
        description: The CA as an https URL, which the controller downloads.
        type: str
      ca_cluster_id:
        description:
          - The CA of the CockroachDB Cloud cluster with this id, which the controller downloads from
            C(https://cockroachlabs.cloud/clusters/ID/cert). No API key is needed.
          - The Cloud Console shows the id in the command under I(Connect > Download CA); the command or its URL can be
            given as well.
          - The options C(url) and C(ca_file) of C(cloud) name another site and its CA.
        type: str
      ca_text:
        description: The CA as PEM text.
        type: str
      ca_fingerprint:
        description: SHA-256 fingerprint that the CA must have, as 64 hexadecimal digits.
        type: str
      ca_public:
        description:
          - Whether the CA is a public one. It then goes to C(~/.postgresql/root.crt), where clients look by themselves.
        type: bool
        default: false
      ca_destination:
        description:
          - Where the CA goes. V(certs) is C(certs/ca.crt) in the app's folder, V(root_crt) is
            C(~/.postgresql/root.crt), V(both) is both.
          - V(auto) is V(root_crt) for a public CA, else V(certs).
        type: str
        choices: [auto, certs, root_crt, both]
        default: auto
  password_store:
    description:
      - Path on the controller of the file that keeps generated passwords of SQL users.
      - It supplies the password of a connection that has none.
    type: str
    default: ""
"""
