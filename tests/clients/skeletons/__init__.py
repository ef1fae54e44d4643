# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Projects in their frameworks' usual layouts, which get the collection's files; then their own commands run.

One file a language. A project is made by its framework's generator, or as that makes it where it cannot be had.
"""
