# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cure of the check is followed by a test, and why another is not."""

from __future__ import annotations

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE

from tests.faults import test_cures, test_networks
from tests.integration import test_cures_of_clusters as of_clusters

# By tests that are about more than the cure.
ELSEWHERE = {
    **dict.fromkeys(
        (f"ca_{kind}" for kind in ("der", "pkcs7", "pkcs12", "utf16", "no_header", "quoted", "escaped")),
        "test_ca_files.py, test_the_cure_of_each_file_that_can_be_converted_works_as_it_is_written",
    ),
    **dict.fromkeys(
        ("app_ca_unreadable", "app_key_unreadable"),
        "test_app_files.py, test_files_are_read_with_the_rights_of_the_apps_user",
    ),
    **dict.fromkeys(
        ("jwt_disabled", "jwt_wrong_issuer", "jwt_wrong_audience", "jwt_wrong_key", "jwt_wrong_user"),
        "test_logins_by_token.py, test_what_the_cluster_refuses_is_named_in_its_words: the settings are set back",
    ),
    **dict.fromkeys(
        ("jwt_file_missing", "jwt_file_unreadable", "jwt_empty", "jwt_malformed", "jwt_expired"),
        "test_logins_by_token.py, test_the_cure_of_each_unusable_file_leads_to_a_login",
    ),
    "jwt_command_failed": "test_logins_by_token.py, test_a_machine_logs_in_by_a_file_that_is_renewed",
    "canary_refused": "test_check.py, TestCanary: the password of the first host is changed",
    "libpq_would_fail": "test_given_url.py: each string is also given to libpq",
}

WAITS = "its cure is to wait"
OF_COCKROACHDB = "only CockroachDB, or a service beside it that is not here, is in this state"
OF_THE_SERVICE = "only CockroachDB Cloud is in this state; the sandbox repeats its words"
FINDS_OUT = "its cure is where to look: what is found there has a code or a name of its own"
OF_ANOTHER = "its cure is that of another host or code"
CLOCK = "a test may not set this machine's clock"

NOT_FOLLOWED = {
    "dns_failed": FINDS_OUT,
    "tcp_failed": FINDS_OUT,
    "tls_failed": FINDS_OUT,
    "tls_handshake_refused": FINDS_OUT,
    "network_lost": FINDS_OUT,
    "server_error": FINDS_OUT,
    "login_refused": FINDS_OUT,
    "input_refused": "its cure belongs to the error in the input: the tests of each input have it",
    "internal_error": FINDS_OUT,
    **dict.fromkeys(
        ("tls_plaintext_injected", "server_requires_encryption", "server_signature_invalid", "captive_portal"),
        "something on the network path is the cause, and the cure is to find it",
    ),
    **dict.fromkeys(("reply_truncated", "reply_bad_length", "reply_endless", "reply_malformed"), FINDS_OUT),
    **dict.fromkeys(("scram_iterations", "scram_malformed"), FINDS_OUT),
    **dict.fromkeys(
        (
            "server_hang_handshake",
            "server_hang_auth",
            "server_hang_login",
            "server_hang_query",
            "closed_in_session",
        ),
        FINDS_OUT,
    ),
    **dict.fromkeys(("clock_ahead", "clock_behind", "jwt_not_yet_valid"), CLOCK),
    **dict.fromkeys(
        (
            "allowlist_propagating",
            "throttled",
            "cluster_creating",
            "cluster_locked",
            "server_starting",
            "backend_unreachable",
            "proxy_internal_error",
        ),
        WAITS,
    ),
    **dict.fromkeys(
        (
            "allowlist_holds_address",
            "cluster_at_limit",
            "cluster_paused",
            "cluster_failed",
            "cluster_deleted",
            "server_unavailable",
            "proxy_refused",
            "proxy_unexplained",
            "routing_failed",
        ),
        OF_THE_SERVICE,
    ),
    **dict.fromkeys(
        (
            "tenant_unavailable",
            "password_expired",
            "ldap_refused",
            "jwt_refused",
            "jwt_unsupported",
            "identity_not_mapped",
            "query_denied",
            "quorum_lost",
            "license_missing",
        ),
        OF_COCKROACHDB,
    ),
    **dict.fromkeys(("canary_failed", "not_tried"), OF_ANOTHER),
    "password_held": "an option of the module's caller, which no playbook sets",
}


def test_every_cure_is_followed_or_has_a_reason_why_not() -> None:
    followed = {code for code, _follow in test_cures.CASES}
    followed |= {fault[4] for fault in test_networks.FAULTS}
    followed |= {code for code, _wrong in of_clusters.WRONG_FACTS}
    followed |= {code for _name, code in of_clusters.REFUSED}
    followed |= {code for code, _spoil, _mend in of_clusters.SPOILT} | {of_clusters.INLINE, *of_clusters.BY_API}
    followed |= set(ELSEWHERE)
    assert not followed - set(CATALOGUE)
    assert not followed & set(NOT_FOLLOWED)
    assert set(CATALOGUE) - followed == set(NOT_FOLLOWED)
