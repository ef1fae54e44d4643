#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: key_pairs
short_description: Examine the client certificates of a host, and make keys with signing requests
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Reads the client certificate and the key of each app, and says why they must be replaced, if they must.
  - Then makes a new key with the program C(openssl), as the app's user, and returns a signing request. The key stays on
    the host, mode 0600, and waits beside the record of that user.
  - M(crdb.onboard.client_cert) signs the request on the controller, and M(crdb.onboard.files) puts both in place.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  pairs:
    description: The client certificates, one for each app.
    type: list
    elements: dict
    required: true
    suboptions:
      app:
        description: The name of the app.
        type: str
        required: true
      user:
        description: The user of the host who owns the files. The default is the user that the module runs as.
        type: str
        default: ""
      folder:
        description: Absolute path of the folder for the certificate and the key.
        type: path
        required: true
      sql_user:
        description: The SQL user, which is part of the names of the files.
        type: str
        required: true
      names:
        description: The names that the certificate must have. The first one is its common name.
        type: list
        elements: str
        required: true
      authority_keys:
        description:
          - Key identifiers of the CAs of which one must have signed the certificate, in hexadecimal. By default, any
            CA may.
        type: list
        elements: str
        default: []
      renew_days:
        description:
          - Days before its end at which the certificate is replaced. The default is a third of its lifetime, at most
            30 days.
        type: int
      pkcs8:
        description: Whether the key is needed in PKCS#8 too, as Java reads it.
        type: bool
        default: false
      renew:
        description: Replace the certificate in any case.
        type: bool
        default: false
      make_key:
        description: Whether to make the new key here, where there is C(openssl).
        type: bool
        default: true
      keep_key:
        description:
          - Whether a new certificate keeps the key in use, unless it is lost or could be read by other users. Programs
            that read the certificate before the change and the key after it then still have two that belong together.
        type: bool
        default: false
      needs_request:
        description:
          - Whether whoever signs needs a signing request. Without C(openssl), a key in use is then not kept.
        type: bool
        default: true
"""

EXAMPLES = r"""
- name: See which certificates must be replaced, and make a key for each of them
  crdb.onboard.key_pairs:
    pairs:
      - app: shop
        folder: /srv/shop/certs
        sql_user: shop
        names: [shop]
"""

RETURN = r"""
pairs:
  description:
    - What was found and made for each of O(pairs), in their order. C(reason) is empty for a certificate that stays,
      else V(missing), V(unreadable), V(exposed), V(mismatch), V(pkcs8), V(name), V(authority), V(not_yet_valid), V(due)
      or V(renew).
    - C(request) and C(pending) are empty where no key waits here, C(request) also for a key that is kept without
      C(openssl). C(broken) are the pairs that a killed run left.
  returned: success
  type: list
  elements: dict
  sample:
    - app: shop
      reason: due
      certificate: "-----BEGIN CERTIFICATE-----..."
      not_after: "2031-11-29T10:00:00+00:00"
      pair: 5f1c09ab34de7788
      pairs: [5f1c09ab34de7788]
      broken: []
      foreign: ""
      openssl: true
      request: "-----BEGIN CERTIFICATE REQUEST-----..."
      pending: 0c5d7a3f9b1e4d2680c5d7a3f9b1e4d2
"""

import datetime
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._files import keys
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.module_utils._files.tree import UntrustedPathError
from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs import pair as _pair
from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs import request as _request


class Examiner:
    """One user's certificates, with that user's rights."""

    def __init__(self, state: str, check_mode: bool) -> None:
        self._state, self._check_mode = state, check_mode

    def examine(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What is there, and a request for what must be replaced. Raises OSError."""
        places = _pair.Places(wanted["folder"], wanted["sql_user"])
        now = datetime.datetime.now(datetime.timezone.utc)
        found = _pair.examined(places, wanted, now)
        if not found["reason"] and wanted["renew"]:
            found["reason"] = "renew"
        if not self._check_mode:
            keys.forget(self._state)
        found["openssl"] = bool(_request.openssl())
        current = os.path.basename(os.readlink(places.current)) if os.path.islink(places.current) else ""
        found.update(app=wanted["app"], pair=current, pairs=_pair.pairs(places), foreign=_pair.foreign(places))
        found["broken"] = _pair.broken(places)
        made = {"request": "", "pending": ""}
        if not found["reason"] or found["foreign"] or self._check_mode:
            return {**found, **made}
        key = self._kept(places, wanted, found)
        try:
            if key or (found["openssl"] and wanted["make_key"]):
                made = _request.make(self._state, wanted["names"], pkcs8=wanted["pkcs8"], key=key)
        except (FileRefusedError, _request.OpensslError) as exc:
            return {**found, **made, "error": str(exc)}
        return {**found, **made}

    @staticmethod
    def _kept(places: _pair.Places, wanted: dict[str, Any], found: dict[str, Any]) -> bytes:
        """The key in use, where the new certificate keeps it; else nothing."""
        key = _pair.key_to_keep(places, found["reason"]) if wanted["keep_key"] else b""
        if found["openssl"]:
            return key
        return key if not wanted["needs_request"] and _request.in_der(key) else b""

    def close(self) -> None:
        """Nothing is held."""


_ARGUMENT_SPEC: dict[str, Any] = {
    "pairs": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "app": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
            "folder": {"type": "path", "required": True},
            "sql_user": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "authority_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "renew_days": {"type": "int"},
            "pkcs8": {"type": "bool", "default": False},
            "renew": {"type": "bool", "default": False},
            "make_key": {"type": "bool", "default": True, "no_log": False},
            "keep_key": {"type": "bool", "default": False, "no_log": False},
            "needs_request": {"type": "bool", "default": True},
        },
    },
}


def _examined(module: AnsibleModule, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is there of one app. Fails the module when it cannot be known."""
    where = f"apps entry {wanted['app']!r}"
    owner = Owner(wanted["user"])
    if not module.check_mode:
        owner.prepare()
    examiner = owner.does(Examiner(owner.state, module.check_mode))
    try:
        found: dict[str, Any] = examiner.examine(wanted)
    except OSError as exc:
        cure = f" {exc.cure}" if isinstance(exc, UntrustedPathError) else ""
        module.fail_json(msg=f"{where}: {exc.filename or wanted['folder']}: cannot be read: {exc.strerror}.{cure}")
    finally:
        examiner.close()
        if not module.check_mode:
            owner.tidy()
    if found.get("error"):
        module.fail_json(msg=f"{where}: no key can be made on this host: {found['error']}.")
    return found


def main() -> None:
    module = AnsibleModule(argument_spec=_ARGUMENT_SPEC, supports_check_mode=True)
    try:
        found = [_examined(module, wanted) for wanted in module.params["pairs"]]
    except UnknownOwnerError as exc:
        module.fail_json(msg=str(exc))
    # A key that waits changes nothing yet.
    module.exit_json(changed=False, pairs=found)


if __name__ == "__main__":
    main()
