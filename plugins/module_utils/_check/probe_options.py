# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option `probes` of driver_probe, which the action plugin `probe` validates too.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import Any

PROBES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "app": {"type": "str", "required": True},
        "framework": {"type": "str", "required": True},
        "interpreter": {"type": "str", "required": True},
        "program": {"type": "str", "required": True},
        "sources": {"type": "list", "elements": "str", "default": []},
        "arguments": {"type": "list", "elements": "str", "default": []},
        "files": {"type": "dict", "default": {}},
        "copies": {"type": "list", "elements": "str", "default": []},
        "steps": {"type": "list", "elements": "list", "default": []},
        "afterwards": {"type": "list", "elements": "list", "default": []},
        "missing": {"type": "str", "default": ""},
        "environment_file": {"type": "str", "default": ""},
        "folder": {"type": "path", "required": True},
        "user": {"type": "str", "default": ""},
    },
}
