#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: client
short_description: Install the CockroachDB client on a Mac or a Linux machine
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Downloads the vendor's archive over https and verifies its SHA-256 before unpacking it.
  - Runs the unpacked program, and then makes the link in C(PREFIX/bin) lead to it.
  - Keeps every version in a folder of its own. Going back to a kept version needs no download.
  - Never replaces a C(cockroach) that this collection did not install, or that runs as a node, unless O(force=true).
  - Downloads nothing when the right version is installed.
  - When the module fails, the version in use is unchanged.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
    details:
      - Downloads nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - Whether the client should be installed. V(absent) removes what this module installed, and nothing else.
    type: str
    choices: [present, absent]
    default: present
  version:
    description:
      - A version such as V(v25.4.11), or a series such as V(v25.4). The C(v) may be left out.
      - A series stands for its newest release in the collection's list of releases.
    type: str
    default: v25.4
  products:
    description:
      - The programs to install. V(cockroach-sql) is smaller than V(cockroach), and has only the SQL shell.
    type: list
    elements: str
    choices: [cockroach, cockroach-sql]
    default: [cockroach]
  source:
    description:
      - Which machine downloads the archives.
      - V(controller) downloads an archive once per playbook run, and copies it to every host that needs it.
    type: str
    choices: [host, controller]
    default: host
  archive_folder:
    description:
      - A folder on the controller with the archives and their C(.sha256sum) files, under the vendor's names.
        Nothing is then downloaded.
      - An archive in O(sha256) needs no C(.sha256sum) file.
    type: str
    default: ""
  base_url:
    description: The https URL of the folder with the archives. A mirror must use the vendor's names.
    type: str
    default: https://binaries.cockroachdb.com
  checksum_url:
    description: The https URL of the folder with the C(.sha256sum) files. The default is O(base_url).
    type: str
    default: ""
  sha256:
    description: Your own SHA-256 digests, by the archive's name. They take precedence over the published ones.
    type: dict
    default: {}
  ca_file:
    description:
      - A CA bundle that verifies the download server. It is read on the machine that downloads.
      - The default is the CA bundle of that machine's system.
    type: str
    default: ""
  proxy:
    description:
      - The URL of a proxy for the downloads. The default is taken from the proxy variables of the environment.
      - If the URL has a user name or a password, the task turns pipelining on. The URL then is in no file on the host.
    type: str
    default: ""
  timeout:
    description: Seconds without progress after which a download fails.
    type: float
    default: 60
  prefix:
    description:
      - The folder to install below. The module writes to C(bin), C(lib/crdb-onboard) and C(lib/cockroach) there.
      - The default is C(/usr/local) for root, and C(~/.local) for other users.
    type: str
    default: ""
  keep:
    description: How many versions to keep besides the one in use.
    type: int
    default: 1
  completion:
    description: Whether to write the completion for each shell that has its completion folder below O(prefix).
    type: bool
    default: true
  profile:
    description: Whether to add C(PREFIX/bin) to the PATH in the user's shell profile, if the PATH does not have it.
    type: bool
    default: false
  force:
    description:
      - Whether to replace a C(cockroach) that this module did not install, or that runs as a node.
      - A copy of a replaced program is kept beside it.
    type: bool
    default: false
  fail:
    description:
      - Whether the task fails when the client cannot be installed. If not, RV(failure) has the reason and its cure,
        RV(notes) says it, and nothing counts as changed.
    type: bool
    default: true
  internal:
    description: What the action plugin passes to the module. Do not set it in a task.
    type: dict
    default: {}
    suboptions:
      builds:
        description: The builds that exist of the version.
        type: list
        elements: str
        default: []
      archives:
        description: The paths of archives that were copied to the host, by the archive's name.
        type: dict
        default: {}
      crdb_sql:
        description: The text of the script C(crdb-sql). When it is empty, the script is not installed.
        type: str
        default: ""
"""

EXAMPLES = r"""
- name: Install the newest client of a series
  crdb.onboard.client:
    version: v25.4

- name: Install only the SQL shell, from a mirror
  crdb.onboard.client:
    version: v25.4.11
    products: [cockroach-sql]
    base_url: https://mirror.example.com/cockroachdb
    ca_file: /etc/ssl/certs/example.pem

- name: Remove the client
  crdb.onboard.client:
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, as lines of text such as C(created /srv/shop/.env).
  returned: success
  type: list
  elements: str
products:
  description: The programs, with the action taken, the version before and after, and the path of the link.
  returned: success
  type: list
  elements: dict
  sample:
    - name: cockroach
      action: installed
      before: v25.4.9
      version: v25.4.11
      path: /usr/local/bin/cockroach
path_line:
  description: The line for a shell profile that adds the client to the PATH. Empty when the PATH has it.
  returned: success
  type: str
missing_archives:
  description: The names of archives that have to be copied to the host first.
  returned: success
  type: list
  elements: str
failure:
  description: Why the client could not be installed, and what to do.
  returned: when it could not, and O(fail) is false
  type: str
notes:
  description: Warnings and hints for the operator.
  returned: success
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import BUILDS, PRODUCTS, VENDOR_URL
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.install import install
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import resolve_prefix
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions
from ansible_collections.crdb.onboard.plugins.module_utils._client.remove import remove

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "version": {"type": "str", "default": "v25.4"},
    "products": {"type": "list", "elements": "str", "choices": list(PRODUCTS), "default": ["cockroach"]},
    "source": {"type": "str", "choices": ["host", "controller"], "default": "host"},
    "archive_folder": {"type": "str", "default": ""},
    "base_url": {"type": "str", "default": VENDOR_URL},
    "checksum_url": {"type": "str", "default": ""},
    "sha256": {"type": "dict", "default": {}},
    "ca_file": {"type": "str", "default": ""},
    "proxy": {"type": "str", "default": "", "no_log": True},
    "timeout": {"type": "float", "default": 60},
    "prefix": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 1},
    "completion": {"type": "bool", "default": True},
    "profile": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "fail": {"type": "bool", "default": True},
    "internal": {
        "type": "dict",
        "default": {},
        "options": {
            "builds": {"type": "list", "elements": "str", "default": []},
            "archives": {"type": "dict", "default": {}},
            "crdb_sql": {"type": "str", "default": ""},
        },
    },
}


def _options(params: dict[str, Any]) -> ClientOptions:
    """Return the installation's options. Raises ClientError."""
    internal = params["internal"]
    archives = {str(name): str(path) for name, path in internal.get("archives", {}).items()}
    return ClientOptions(
        prefix=resolve_prefix(params["prefix"]),
        version=params["version"],
        products=tuple(dict.fromkeys(params["products"])),
        builds=tuple(internal.get("builds") or BUILDS),
        base_url=params["base_url"],
        checksum_url=params["checksum_url"],
        sha256={str(name): str(digest) for name, digest in params["sha256"].items()},
        archives=archives,
        download=params["source"] == "host" or bool(archives),
        ca_file=params["ca_file"],
        proxy=params["proxy"],
        timeout=params["timeout"],
        keep=max(0, params["keep"]),
        force=params["force"],
        completion=params["completion"],
        profile=params["profile"],
        crdb_sql=internal.get("crdb_sql", ""),
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    # The client is for every user of the prefix, whatever the umask of the installing user.
    os.umask(0o022)
    execute = install if module.params["state"] == "present" else remove
    try:
        result = execute(_options(module.params), module.check_mode)
    except ClientError as exc:
        module.fail_json(msg=str(exc))
    versions = [(p["name"], p["before"] or "absent", p["version"] or "absent") for p in result.products]
    module.exit_json(
        changed=result.changed,
        products=result.products,
        path_line=result.path_line,
        missing_archives=result.missing_archives,
        notes=result.notes,
        diff={
            "before": "".join(f"{name}: {before}\n" for name, before, _after in versions),
            "after": "".join(f"{name}: {after}\n" for name, _before, after in versions),
        },
    )


if __name__ == "__main__":
    main()
