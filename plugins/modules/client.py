#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: client
short_description: Install the CockroachDB client on a Mac or a Linux machine
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Downloads the vendor's archive over https, compares its SHA-256 before anything is unpacked, unpacks it safely, runs
    the program, and only then makes a link in C(PREFIX/bin) lead to it, at once.
  - A version has a folder of its own; the ones used before are kept, and going back to one needs no download.
  - A C(cockroach) that this collection did not install, or that runs as a node, is never replaced unasked.
  - Nothing is downloaded when the right version is there.
  - Whatever is refused leaves the version in use as it is.
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
    description: Whether the client shall be there; V(absent) takes away what was installed, and nothing else.
    type: str
    choices: [present, absent]
    default: present
  version:
    description:
      - A version (V(v25.4.11), with or without the C(v)), or a series (V(v25.4)), whose newest release is taken from
        the collection's list of releases.
      - Required for O(state=present).
    type: str
    default: ""
  products:
    description: C(cockroach), and the smaller C(cockroach-sql), which has the SQL shell only.
    type: list
    elements: str
    choices: [cockroach, cockroach-sql]
    default: [cockroach]
  source:
    description:
      - Who downloads. With V(controller) an archive is downloaded once a run, and brought to every host that needs it.
    type: str
    choices: [host, controller]
    default: host
  archive_folder:
    description:
      - A folder on the controller that has the archives by their vendor's names, with their C(.sha256sum) files unless
        O(sha256) names them. Nothing is downloaded then.
    type: str
    default: ""
  base_url:
    description: The https URL that the archives are below; a mirror has them by the same names.
    type: str
    default: https://binaries.cockroachdb.com
  checksum_url:
    description: The https URL that the C(.sha256sum) files are below; the default is O(base_url).
    type: str
    default: ""
  sha256:
    description: The operator's own SHA-256 by the archive's name; it wins over the published one.
    type: dict
    default: {}
  ca_file:
    description: A CA bundle to verify the download server with, on the machine that downloads; else the system's.
    type: str
    default: ""
  proxy:
    description: URL of a proxy; the default are the proxy variables of the environment.
    type: str
    default: ""
  timeout:
    description: Seconds without progress after which a download has stalled.
    type: float
    default: 60
  prefix:
    description:
      - Where the client goes - C(bin), C(lib/crdb-onboard) and C(lib/cockroach) below it.
      - The default is C(/usr/local) for root, and C(~/.local) for other users.
    type: str
    default: ""
  keep:
    description: How many versions beside the one in use are kept.
    type: int
    default: 1
  completion:
    description: Write the shell completion where a shell has its folder below O(prefix).
    type: bool
    default: true
  profile:
    description: Write the line that puts C(PREFIX/bin) into the PATH to the user's shell profile, where it is missing.
    type: bool
    default: false
  force:
    description: Replace a C(cockroach) that is not ours (a copy is kept beside it) or that runs as a node.
    type: bool
    default: false
  builds:
    description: The builds that the version has; the action plugin gives it.
    type: list
    elements: str
    default: []
  archives:
    description: Archives on the host by their names; the action plugin gives it.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Install the newest client of a series
  crdb.onboard.client:
    version: v25.4

- name: Install the SQL shell alone, from a mirror
  crdb.onboard.client:
    version: v25.4.11
    products: [cockroach-sql]
    base_url: https://mirror.example.com/cockroachdb
    ca_file: /etc/ssl/certs/example.pem

- name: Take it away
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
  description: One entry a program - what was done, the version before and now, and the path of its link.
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
  description: The line for a shell profile that puts the client into the PATH; empty when it is there.
  returned: success
  type: str
needs:
  description: Archives that have to be brought to the host first.
  returned: success
  type: list
  elements: str
notes:
  description: What the operator should know.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._client import install as _client
from ansible_collections.crdb.onboard.plugins.module_utils._client.archive import BUILDS, VENDOR_URL, ClientRefused


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "version": {"type": "str", "default": ""},
            "products": {
                "type": "list",
                "elements": "str",
                "choices": ["cockroach", "cockroach-sql"],
                "default": ["cockroach"],
            },
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
            "builds": {"type": "list", "elements": "str", "default": []},
            "archives": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    # What is installed is for every user of the prefix, whatever the umask of the one who installs.
    os.umask(0o022)
    try:
        client = _client.Client(
            _client.Wanted(
                prefix=_client.resolved_prefix(params["prefix"]),
                version=params["version"],
                products=tuple(dict.fromkeys(params["products"])),
                builds=tuple(params["builds"] or BUILDS),
                base_url=params["base_url"],
                checksum_url=params["checksum_url"],
                sha256={str(name): str(digest) for name, digest in params["sha256"].items()},
                archives={str(name): str(path) for name, path in params["archives"].items()},
                fetch=params["source"] == "host" or bool(params["archives"]),
                ca_file=params["ca_file"],
                proxy=params["proxy"],
                timeout=params["timeout"],
                keep=max(0, params["keep"]),
                force=params["force"],
                completion=params["completion"],
                profile=params["profile"],
            )
        )
        call = client.present if params["state"] == "present" else client.absent
        report = call(module.check_mode)
    except ClientRefused as exc:
        module.fail_json(msg=str(exc))
    lines = [(p["name"], p["before"] or "absent", p["version"] or "absent") for p in report.products]
    module.exit_json(
        changed=report.changed,
        products=report.products,
        path_line=report.path_line,
        needs=report.needs,
        notes=report.notes,
        diff={
            "before": "".join(f"{name}: {before}\n" for name, before, after in lines),
            "after": "".join(f"{name}: {after}\n" for name, before, after in lines),
        },
    )


if __name__ == "__main__":
    main()
