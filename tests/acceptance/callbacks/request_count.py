# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the requests of a playbook run to the Cloud API, in the file that the environment names."""

from __future__ import annotations

import os

from ansible.plugins.callback import CallbackBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import http_client

DOCUMENTATION = """
name: request_count
type: aggregate
short_description: Counts requests to the Cloud API
description: Appends the method of each request to a file, for the acceptance run.
requirements: [the environment variable CRDB_ACCEPTANCE_REQUESTS]
"""

FILE = "CRDB_ACCEPTANCE_REQUESTS"


def _count() -> None:
    path, send = os.environ[FILE], http_client.HttpClient.send

    def counted(self: http_client.HttpClient, method: str, *arguments: object, **more: object) -> object:
        # A short line is appended in one piece, so the forks of a run can share the file.
        with open(path, "a", encoding="ascii") as requests:  # noqa: PTH123 - as short as it can be
            requests.write(f"{method}\n")
        return send(self, method, *arguments, **more)

    http_client.HttpClient.send = counted


class CallbackModule(CallbackBase):
    """Wraps the client as soon as it is loaded, which is before the first fork."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "request_count"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        _count()
