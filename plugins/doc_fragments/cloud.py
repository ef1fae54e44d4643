# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cloud:
    description: How the CockroachDB Cloud API is reached. Needed only for clusters that are looked up or changed there.
    type: dict
    default: {}
    suboptions:
      api_key:
        description: API key of a service account. The default is C(COCKROACH_API_KEY) of the controller's environment.
        type: str
      api_key_file:
        description: Path on the controller of a file of mode 0600 that holds the API key.
        type: str
      vanity_name:
        description:
          - The organization's vanity name, which the API needs where the API key is a JSON web token. The default is
            C(COCKROACH_VANITY_NAME) of the controller's environment.
        type: str
      url:
        description: Base URL of the API. The default is V(https://cockroachlabs.cloud).
        type: str
      ca_file:
        description: PEM file on the controller with the CA of the API's server. The default is the system's roots.
        type: str
      timeout:
        description: Seconds that one answer may take. The default is 30.
        type: raw
notes:
  - The Cloud API is called by the controller's own Python, whatever C(become), C(serial) or the host's connection are.
    All tasks of a run share the API's limit of 10 requests a second.
  - C(HTTPS_PROXY), C(NO_PROXY) and C(REQUESTS_CA_BUNDLE) of the environment are honoured.
"""
