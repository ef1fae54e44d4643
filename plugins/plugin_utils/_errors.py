# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This plugin util is PRIVATE to the collection. It can have breaking changes at any time."""

from __future__ import annotations


class OnboardingError(Exception):
    """What was given, or what was found, does not allow to go on; the message names it and says what to do."""
