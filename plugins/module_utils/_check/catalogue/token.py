# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about a JSON Web Token in place of a password.

What is found before the network is used refuses no login: the tokens of other hosts may be good.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry

ENTRIES: Mapping[str, Entry] = {
    "jwt_file_missing": Entry(
        "There is no file {path}, which should hold the token of {user} for {host}.",
        "Let the program that renews the token write it to {file}, or correct jwt_file (crdb_connection_jwt_file) of "
        "{name} ({host}).",
        withholds_drivers=True,
    ),
    "jwt_file_unreadable": Entry(
        "The token of {user} for {host} cannot be read from {path}: {error}.",
        "Let the user that this check runs as read {file} (`chmod`, `chown`), and check {host} again.",
        withholds_drivers=True,
    ),
    "jwt_empty": Entry(
        "There is no token of {user} for {host}: {token} gives nothing.",
        "Log in at the identity provider again, so that {token} gives a token for {host}.",
        withholds_drivers=True,
    ),
    "jwt_command_failed": Entry(
        "The command {path} gave no token of {user} for {host}: {error}.",
        "Run {file} on this machine as the app's user, and correct what it reports, or correct jwt_command "
        "(crdb_connection_jwt_command) of {name} ({host}).",
        withholds_drivers=True,
    ),
    "jwt_malformed": Entry(
        "The token of {user} for {host} is not a JSON Web Token, which has three parts with dots between them: see "
        "{token}.",
        "Correct {token} for {host}: it must be the token alone, without the word Bearer, quotes or JSON around it.",
        quotes_server=True,
        withholds_drivers=True,
    ),
    "jwt_expired": Entry(
        "The token of {user} for {host} expired at {token_after}, and this machine's clock says {now}.",
        "Renew {token}, or set the clock of this machine if it is wrong, and check {host} again.",
        quotes_server=True,
        withholds_drivers=True,
    ),
    "jwt_not_yet_valid": Entry(
        "The token of {user} for {host} is valid from {token_before}, and this machine's clock says {now}.",
        "Set the clock of this machine, or that of the token's issuer, and check {host} again.",
        quotes_server=True,
        withholds_drivers=True,
    ),
    "jwt_wrong_audience": Entry(
        "The server at {host} ({address}) refuses the token of {user}, because it is for another audience "
        "({token_audience}).",
        "Request a token for an audience in the cluster setting server.jwt_authentication.audience of {host}, or add "
        "the token's audience to that setting.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_wrong_issuer": Entry(
        "The server at {host} ({address}) refuses the token of {user}, because it does not know the issuer "
        "({token_issuer}).",
        "Request a token of an issuer in the cluster setting server.jwt_authentication.issuers.configuration of "
        "{host}, or add the token's issuer to that setting.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_wrong_key": Entry(
        "The server at {host} ({address}) refuses the token of {user}, because no key that it has verifies the "
        "signature.",
        "Set the cluster setting server.jwt_authentication.jwks of {host} to the issuer's present keys, or set "
        "server.jwt_authentication.jwks_auto_fetch.enabled to true.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_wrong_user": Entry(
        "The server at {host} ({address}) takes the token for another user than {user} ({token_subject}).",
        "Set the user of {name} to the token's own, or map it to {user} by the cluster settings "
        "server.jwt_authentication.claim and server.identity_map.configuration of {host}.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_disabled": Entry(
        "The server at {host} ({address}) refuses the token of {user}, because it accepts none.",
        "Run `SET CLUSTER SETTING server.jwt_authentication.enabled = true` at {host} as an administrator, or give "
        "{name} a password.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_unsupported": Entry(
        "The server at {host} ({address}) does not know tokens, so {user} cannot log in with one.",
        "Give {name} a password for {host}: only CockroachDB 22.2 and newer accepts tokens, and no pooler does.",
        quotes_server=True,
        refuses_login=True,
    ),
}
