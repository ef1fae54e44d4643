# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with independent keys: what is put in is taken out again, byte for byte."""

from __future__ import annotations

import base64
import hashlib

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    FormatError,
    Segment,
    find,
    join,
    line_end,
    put,
    split_dotenv,
    split_pem,
    split_pgpass,
    split_service,
    take,
)
from hypothesis import assume, given
from hypothesis import strategies as st


def pem(der):
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


OURS = {
    "dotenv": Segment("DATABASE_URL", b"DATABASE_URL='postgresql://u:p@h:1/d?x=y'\n"),
    "pem": Segment(hashlib.sha256(b"ours").hexdigest(), pem(b"ours")),
    "pgpass": Segment("h:26257:d:u", b"h:26257:d:u:p\n"),
    "service": Segment("shop", b"[shop]\nhost=h\nport=26257\n"),
}
LINES = {
    "dotenv": st.sampled_from(
        [
            b"A=1",
            b"export B='x y'",
            b'C="a\nb=c\n"',
            b"# DATABASE_URL=no",
            b"",
            b"DATABASE_URLS=x",
            "ü=é".encode(),
            b"D='o''k'",
        ]
    ),
    "pem": st.sampled_from([pem(b"theirs").rstrip(), pem(b"another").rstrip(), b"a comment", b""]),
    "pgpass": st.sampled_from([b"*:*:*:me:pw", b"# c", b"h\\:1:2:3:u:x", b"h:1:d:u\\\\:x", b"broken", b""]),
    "service": st.sampled_from([b"[other]", b" \t[fourth]", b"host=x", b"# c", b"", b"[third]\nport=1"]),
}


@pytest.mark.parametrize("name", sorted(OURS))
@given(data=st.data())
def test_what_was_put_is_taken_and_the_rest_stays(name, data):
    end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    lines = data.draw(st.lists(LINES[name], max_size=6))
    content = end.join(line.replace(b"\n", end) for line in lines) + data.draw(st.sampled_from([b"", end]))
    split, ours = FORMATS[name], OURS[name]
    segments = split(content)
    assert join(segments) == content
    assert find(segments, ours.key) is None
    first = name == "pgpass"
    changed, unended = put(segments, ours, line_end(content), first)
    after = join(changed)
    assert after.startswith(content) or (first and after.endswith(content[-1:]))
    again = split(after)
    assert find(again, ours.key).raw.replace(b"\r\n", b"\n") == ours.raw
    assert join(take(again, ours.key, None, unended)) == content
    second, _more = put(again, ours, line_end(after), first)
    assert join(second) == after


@pytest.mark.parametrize("name", ["dotenv", "pgpass", "service"])
@given(content=st.binary())
def test_any_bytes_are_split_without_loss_or_refused(name, content):
    try:
        segments = FORMATS[name](content)
    except FormatError:
        assume(name == "dotenv")
        return
    assert join(segments) == content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"DATABASE_URL=old\nB=2\n", b"DATABASE_URL=new\nB=2\n"),
        (b"  export DATABASE_URL = 'old'\r\nB=2\r\n", b"  export DATABASE_URL=new\r\nB=2\r\n"),
        (b"A=1\nDATABASE_URL=old", b"A=1\nDATABASE_URL=new"),
        (b'DATABASE_URL="o\nl\nd"\nB=2', b"DATABASE_URL=new\nB=2"),
        (b"X='\nDATABASE_URL=inside\n'\n", b"X='\nDATABASE_URL=inside\n'\nDATABASE_URL=new\n"),
        (b"A=1", b"A=1\nDATABASE_URL=new\n"),
        (b"", b"DATABASE_URL=new\n"),
    ],
)
def test_a_key_is_replaced_in_its_place(before, after):
    segments = split_dotenv(before)
    previous = find(segments, "DATABASE_URL")
    changed, unended = put(segments, Segment("DATABASE_URL", b"DATABASE_URL=new\n"), line_end(before))
    assert join(changed) == after
    back = take(split_dotenv(after), "DATABASE_URL", previous.raw if previous else None, unended)
    assert join(back) == before


@pytest.mark.parametrize(
    ("split", "content", "key", "message"),
    [
        (split_dotenv, b"A='x\nB=1\n", "A", "line 1: a quoted value does not end"),
        (split_dotenv, b"A=1\nA=2\n", "A", "has A more than once"),
        (split_pem, b"-----BEGIN CERTIFICATE-----\nAAAA\n", "x", "does not end"),
        (split_pem, b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "x", "is not base64"),
        (split_pem, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x", "is not a certificate"),
        (split_pgpass, b"a:b:c:d:1\na:b:c:d:2\n", "a:b:c:d", "more than once"),
        (split_service, b"[a]\nx=1\n[a]\n", "a", "more than once"),
    ],
)
def test_refused(split, content, key, message):
    with pytest.raises(FormatError, match=message):
        find(split(content), key)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b"h:1:d:u:p", "h:1:d:u"),
        (b"*:*:*:*:p", "*:*:*:*"),
        (rb"h\:x:1:d:u:p\:q", r"h\:x:1:d:u"),
        (b"h:1:d:u\\\\:p", r"h:1:d:u\\"),
        (b"h:1:d:u:", "h:1:d:u"),
        (b"h:1:d:u:p:more", "h:1:d:u"),
        (b"#h:1:d:u:p", None),
        (b"h:1:d:u", None),
        (rb"h:1:d:u\:p", None),
        (b"", None),
    ],
)
def test_the_key_of_a_line_of_pgpass(line, key):
    assert [segment.key for segment in split_pgpass(line + b"\n")] == [key]


def test_a_line_of_pgpass_goes_before_the_others_since_the_first_that_fits_counts():
    content = b"# mine\n\n*:*:*:*:any\nh:1:d:u:x\n"
    changed, unended = put(split_pgpass(content), OURS["pgpass"], b"\n", first=True)
    assert join(changed) == b"# mine\n\nh:26257:d:u:p\n*:*:*:*:any\nh:1:d:u:x\n"
    assert unended is False


def test_a_section_ends_before_the_comments_of_the_next_one():
    content = b"[a]\nx=1\n# of a\ny=2\n\n# of b\n  [b]\nz=3\n# end\n"
    segments = split_service(content)
    assert [(s.key, s.raw) for s in segments if s.key] == [
        ("a", b"[a]\nx=1\n# of a\ny=2\n"),
        ("b", b"  [b]\nz=3\n"),
    ]
    assert join(take(segments, "a", None, False)) == b"\n# of b\n  [b]\nz=3\n# end\n"
