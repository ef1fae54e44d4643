# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else Ansible's own call has to do as ours does."""

from __future__ import annotations

import pytest

# pylint: disable-next=unused-import
from tests.integration.test_onboarding import (  # noqa: F401 - pytest collects them here too, for the other transport
    flat,
    test_a_changed_connection_replaces_our_files_and_a_hand_edit_stays,
    test_check_mode_on_an_empty_home_passes_and_writes_nothing,
    test_files_of_another_user_are_written_with_that_users_ids,
    test_force_keeps_what_it_replaces_and_absent_gives_it_back,
)

# pylint: disable-next=unused-import
from tests.integration.test_transport import ansibles_own_call  # noqa: F401 - used by every test here

pytestmark = pytest.mark.thorough
