#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: client_ca
short_description: Make a CA for client certificates on the controller
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Makes a CA as C(cockroach cert create-client-ca) does, in two files of the controller. No other module makes one.
  - Whoever has the key can log in as any SQL user to every cluster that trusts this CA. It is encrypted when the run
    has a vault secret (C(--vault-password-file) or C(--ask-vault-pass)), else it has mode 0600.
  - Files that are there already are never replaced.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - A second run fails, because the files are there.
options:
  certificate_file:
    description:
      - Path on the controller of the new certificate. A relative path is beside the inventory, or in the current
        folder.
    type: str
    required: true
  key_file:
    description: Path on the controller of the new key. Keep it out of version control, or encrypted.
    type: str
    required: true
  lifetime:
    description: Days that the CA is valid.
    type: int
    default: 3660
"""

EXAMPLES = r"""
- name: Make a client CA
  crdb.onboard.client_ca:
    certificate_file: files/client-ca.crt
    key_file: files/client-ca.key
"""

RETURN = r"""
certificate_file:
  description: The absolute path of the certificate.
  returned: when it was made
  type: str
  sample: /home/me/fleet/files/client-ca.crt
key_file:
  description: The absolute path of the key.
  returned: when it was made
  type: str
  sample: /home/me/fleet/files/client-ca.key
fingerprint:
  description: SHA-256 fingerprint of the certificate.
  returned: when it was made
  type: str
  sample: 5f1c09ab34de7788a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718
not_after:
  description: When the CA ends.
  returned: when it was made
  type: str
  sample: "2036-12-06T10:00:00+00:00"
encrypted:
  description: Whether the key is encrypted with the run's vault secret.
  returned: when it was made
  type: bool
  sample: true
report:
  description: What to know about the key, and what to do next, as lines of text.
  returned: success
  type: list
  elements: str
"""
