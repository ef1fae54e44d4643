# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a CA file that exists on a host, with the standard library.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import shlex
import time
from typing import Any, Optional, Union

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree

WARN_DAYS = 30
_MAX_BYTES = 1024 * 1024
_DAY = 86400


def _name(certificate: dict[str, Any]) -> str:
    return ", ".join("=".join(pair) for part in certificate.get("subject", ()) for pair in part)


def authorities(path: str) -> Union[str, list[dict[str, Any]]]:
    """The authorities in a PEM file (`subject`, `not_after` in seconds of the epoch), or why it is not usable as a CA.

    Authorities outside their validity are left out, as TLS does; a file without a valid one is not usable. Raises
    UntrustedPathError when this process is root and others could change the file.
    """
    # A thirtieth of the time of a call that looks into no CA.
    import ssl

    from ansible_collections.crdb.onboard.plugins.module_utils._wire import ca_kinds, x509

    try:
        content = tree.read_file(path, _MAX_BYTES).content
    except tree.UntrustedPathError:
        raise
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blocks = x509.pem_blocks(content.decode("utf-8", "replace"))
    try:
        # Comments between the blocks may be other than ASCII, which load_verify_locations refuses.
        context.load_verify_locations(cadata="".join(f"{block.text()}\n" for block in blocks))
    except (ssl.SSLError, ValueError):
        kind, form = ca_kinds.unusable_kind(content)
        words = ca_kinds.KINDS[kind]
        cure = words.cure.format(path=path, file=shlex.quote(path), form=form)
        return f"{words.text}. {cure}" if "`" in cure else words.text
    certificates: list[dict[str, Any]] = list(context.get_ca_certs())
    if not certificates:
        return "holds no certificate authority: that is the certificate of a server or a client"
    now = time.time()
    seconds = ssl.cert_time_to_seconds
    valid = [c for c in certificates if seconds(c["notBefore"]) <= now < seconds(c["notAfter"])]
    if not valid:
        return (
            f"is out of its dates: {_name(certificates[0])} is valid from {certificates[0]['notBefore']}"
            f" to {certificates[0]['notAfter']}"
        )
    return [{"subject": _name(c), "not_after": seconds(c["notAfter"])} for c in valid]


def expiry(path: str) -> Optional[str]:
    """A sentence when an authority in a good CA file expires within 30 days."""
    usable = authorities(path)
    if isinstance(usable, str):
        return None
    soon = min(usable, key=lambda authority: float(authority["not_after"]))
    days = (soon["not_after"] - time.time()) / _DAY
    if days > WARN_DAYS:
        return None
    return f"{path}: {soon['subject']} expires in {int(days)} days; get the cluster's next CA in time."
