# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option `endpoints` of the modules that check, kept apart so that other modules need not load the check.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import Any

DEPLOYMENTS = ("serverless", "dedicated", "self_hosted")
DEFAULT_TIMEOUT = 15.0
MAX_TIMEOUT = 3600.0

# Documented in doc_fragments/endpoints.py.
ENDPOINTS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str"},
        "for_app": {"type": "str", "default": ""},
        "run_as": {"type": "str", "default": ""},
        "deployment": {"type": "str", "choices": list(DEPLOYMENTS), "default": "serverless"},
        "host": {"type": "str", "required": True},
        "port": {"type": "int", "default": 26257},
        "database": {"type": "str", "required": True},
        "options": {"type": "str"},
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "routing_id": {"type": "str"},
        "ca_file": {"type": "str"},
        "ca_text": {"type": "str"},
        "sslcert": {"type": "str"},
        "sslkey": {"type": "str", "no_log": False},
        "sslcrl": {"type": "str"},
        "sslcrldir": {"type": "str"},
        "jwt": {"type": "str", "no_log": True},
        "jwt_file": {"type": "str"},
        "jwt_command": {"type": "list", "elements": "str"},
        "hold_password": {"type": "bool", "default": False, "no_log": False},
        "tls_only": {"type": "bool", "default": False},
    },
}
