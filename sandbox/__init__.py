# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local stand-in for CockroachDB Cloud clusters: real TLS, real SQL, and the Cloud proxy's routing and allowlist.

``python -m sandbox up|status|down``; see docs/sandbox.md.
"""
