# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
notes:
  - Runs in the controller's own Python, whatever C(become), C(serial) or the host's connection are, and keeps the Cloud
    API's limit of 10 requests a second for the whole run.
  - The API key comes from C(COCKROACH_API_KEY) of the controller's environment, from C(crdb_cloud_api_key_file) (mode
    0600) or from C(crdb_cloud_api_key). C(crdb_cloud_url), C(crdb_cloud_ca_file) and C(crdb_cloud_timeout) say where
    the API is and how long an answer may take. C(HTTPS_PROXY), C(NO_PROXY) and C(REQUESTS_CA_BUNDLE) are honoured.
"""
