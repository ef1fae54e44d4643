# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests over https against servers that break every rule."""

from __future__ import annotations

import gzip

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils import _egress
from ansible_collections.crdb.onboard.plugins.module_utils._client.download import Downloader
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._http.client import HttpClient, tls_context
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import (
    CertificateError,
    ConnectError,
    EncodingError,
    HttpError,
    ProtocolError,
    RedirectError,
    TimedOutError,
    TooLargeError,
    TruncatedError,
    UrlError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import place_of, proxy_for, shown

from tests.hostile import HostileServer, answer, drip, redirect
from tests.ports import held_port

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve(tmp_path):
    """Starts servers that follow a script, and ends them after the test."""
    servers = []

    def start(script, *, tls=True, keep=False):
        servers.append(HostileServer(tmp_path if tls else None, script, keep=keep))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def fetch(server, path="/", *, limit=1000, timeout=5.0, redirects=5, **more):
    client = HttpClient(timeout, tls_context(str(server.ca_file)), **more)
    with client.open(server.url + path, redirects=redirects) as response:
        return response.read(limit)


def head(*lines):
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


@pytest.mark.parametrize(
    "parts",
    [
        answer(b"the body"),
        answer(b"4\r\nthe \r\n4;x=y\r\nbody\r\n0\r\nA: b\r\n\r\n", "200 OK", CHUNKED),
        answer(b"the body", "200 OK", "Content-Encoding: identity"),
        [head("HTTP/1.1 100 Continue"), *answer(b"the body and more", "200 OK", "Content-Length: 8")],
        list(drip(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"the body", 0.0)),
    ],
    ids=["length", "chunked", "identity", "continue", "in pieces"],
)
def test_a_response_is_read(serve, parts):
    server = serve(lambda path, number: parts)
    assert fetch(server, "/a?b=c d") == b"the body"
    ((request, headers),) = server.requests
    assert request == "GET /a?b=c%20d HTTP/1.1"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert "Authorization" not in headers


HOSTILE = {
    "dripped status": (drip(b"HTTP/1.1 200 OK and so on" * 4), TimedOutError, "no complete response within 0.5 s"),
    "dripped header": (
        drip(head("HTTP/1.1 200 OK", "Content-Length: 0")[:-2] + b"A: b\r\n" * 20),
        TimedOutError,
        "no complete response within 0.5 s",
    ),
    "dripped body": (
        [*answer(b"", "200 OK", "Content-Length: 100"), *drip(b"x" * 100)],
        TimedOutError,
        "no complete response within 0.5 s",
    ),
    "silence": ([5.0], TimedOutError, "no complete response within 0.5 s"),
    "endless header": ([b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"b" * 1000 + b"\r\n"] * 90], TooLargeError, "header has"),
    "a hundred continues": ([head("HTTP/1.1 100 Continue") * 5000], TooLargeError, "the header has more than"),
    "too many headers": ([head("HTTP/1.1 200 OK", *["A: b"] * 101)], ProtocolError, "more than 100 headers"),
    "announced size": (answer(b"", "200 OK", "Content-Length: 1001"), TooLargeError, "has 1001 bytes; at most 1000"),
    "endless body": ([head("HTTP/1.1 200 OK"), b"x" * 1001], TooLargeError, "more than the 1000 bytes"),
    "endless chunks": (
        [head("HTTP/1.1 200 OK", CHUNKED), *[b"64\r\n" + b"x" * 100 + b"\r\n"] * 11],
        TooLargeError,
        "more than the 1000 bytes",
    ),
    "truncated body": (
        answer(b"half", "200 OK", "Content-Length: 8"),
        TruncatedError,
        "the connection ended after 4 of 8 bytes",
    ),
    "truncated chunk": (answer(b"8\r\nhalf", "200 OK", CHUNKED), TruncatedError, "the connection ended"),
    "no last chunk": (answer(b"4\r\nhalf\r\n", "200 OK", CHUNKED), TruncatedError, "the connection ended"),
    "cut without a length": ([head("HTTP/1.1 200 OK") + b"half"], TruncatedError, "the connection was cut after 4"),
    "gzip": (
        answer(gzip.compress(bytes(100_000)), "200 OK", "Content-Encoding: gzip"),
        EncodingError,
        "has the encoding gzip, which was not asked for",
    ),
    "another encoding": (answer(b"x", "200 OK", "Content-Encoding: \x1b[31mbr"), EncodingError, "encoding [31mbr,"),
    "no http": ([b"SSH-2.0-\x1b]0;evil\x07\r\n"], ProtocolError, "BadStatusLine: SSH-2.0"),
    "nothing": ([], ConnectError, "closed without a response"),
    "no number": ([b"HTTP/1.1 abc OK\r\n\r\n"], ProtocolError, "BadStatusLine"),
    "http hop": (
        redirect("http://127.0.0.1:1/ca.crt?secret"),
        RedirectError,
        "to http://127.0.0.1:1/ca.crt; redirects",
    ),
    "file hop": (redirect("file:///etc/passwd"), RedirectError, "over https only"),
    "no such port": (redirect("https://127.0.0.1:99999/"), RedirectError, "over https only"),
}


@pytest.mark.parametrize(("parts", "kind", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_response_ends_in_a_typed_error(serve, parts, kind, message):
    with pytest.raises(HttpError) as caught:
        fetch(serve(lambda path, number: parts), timeout=0.5)
    assert caught.type is kind
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_redirects_end_and_share_one_deadline(serve):
    server = serve(lambda path, number: redirect(f"/{number}"))
    with pytest.raises(RedirectError, match="more than 5 times"):
        fetch(server)
    assert len(server.requests) == 6
    slow = serve(lambda path, number: [0.2, *redirect(f"/{number}")])
    with pytest.raises(TimedOutError, match=r"no complete response within 0\.5 s"):
        fetch(slow, timeout=0.5)


def test_an_http_hop_in_the_middle_is_not_made(serve):
    plain = serve(lambda path, number: redirect(f"{server.url}/last"), tls=False)
    server = serve(lambda path, number: answer(b"theirs") if path == "/last" else redirect(f"{plain.url}/hop"))
    with pytest.raises(RedirectError, match="over https only"):
        fetch(server, "/first")
    assert plain.requests == []
    assert len(server.requests) == 1


def test_no_credentials_go_to_another_host(serve, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ann password of-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    other = serve(lambda path, number: answer(b"there"))
    server = serve(
        lambda path, number: redirect("/again" if number == 0 else other.url.replace("127.0.0.1", "localhost"))
    )
    client = HttpClient(5.0, tls_context(str(server.ca_file)))
    url = server.url.replace("//", "//ann:s%C3%A9cret@")
    with client.open(url, headers={"Authorization-Like": "secret"}, redirects=5) as response:
        assert response.read(100) == b"there"
    first, second = (headers for _request, headers in server.requests)
    assert first["Authorization"] == second["Authorization"] == "Basic YW5uOnPDqWNyZXQ="
    assert first["Authorization-Like"] == "secret"
    assert "Authorization-Like" not in second
    ((_request, headers),) = other.requests
    assert not {"Authorization", "Authorization-Like"} & set(headers)


def test_a_long_url_and_one_of_other_letters_are_followed(serve):
    query = "signature=" + "a%2Fb" * 200

    def script(path, number):
        return answer(b"x") if number else redirect(f"/gr\u00f6\u00dfe?{query}".encode().decode("latin-1"))

    server = serve(script)
    assert fetch(server) == b"x"
    assert server.requests[1][0] == f"GET /gr%C3%B6%C3%9Fe?{query} HTTP/1.1"


def test_a_redirect_is_not_followed_unless_asked_for(serve):
    server = serve(lambda path, number: redirect("/other"))
    with HttpClient(5.0, tls_context(str(server.ca_file))).open(server.url) as response:
        assert (response.status, response.reason) == (302, "Found")
    assert len(server.requests) == 1


def test_a_server_of_another_authority_gets_no_request(serve):
    server = serve(lambda path, number: answer())
    with (
        pytest.raises(CertificateError, match="certificate verify failed"),
        HttpClient(5.0, tls_context()).open(server.url),
    ):
        pass
    assert server.requests == []


def test_a_connection_is_kept_for_the_next_request_if_it_is_still_open(serve):
    def script(path, number):
        return answer(b"x", "200 OK", *(["Connection: close"] if path == "/close" else []))

    server = serve(script, keep=True)
    client = HttpClient(5.0, tls_context(str(server.ca_file)), keep=True)
    for path, connections in (("/", 1), ("/", 1), ("/close", 1), ("/", 2), ("/unread", 2), ("/", 3)):
        with client.open(server.url + path) as response:
            if path != "/unread":
                assert response.read(10) == b"x"
        assert server.connections == connections
    client.close()


def test_a_kept_connection_that_the_server_closed_is_not_used_again(serve):
    server = serve(lambda path, number: answer(b"x"))
    client = HttpClient(5.0, tls_context(str(server.ca_file)), keep=True)
    for _number in range(3):
        with client.open(server.url) as response:
            assert response.read(10) == b"x"
        # The server closes right after its response.
        while client._kept and client._kept[1].is_idle():
            pass
    assert server.connections == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com", "must be an https URL"),
        ("http://127.0.0.1:1", "must be an https URL"),
        ("ftp://example.com", "must be an https URL"),
        ("https://", "no valid host name"),
        ("https://a b", "no valid host name"),
        ("https://x:99999", "not a valid URL"),
        ("https://[::1", "not a valid URL"),
        (f"https://{'x' * 70}.example", "not a valid URL"),
    ],
)
def test_a_url_that_is_not_https_is_refused(url, message):
    with pytest.raises(UrlError, match=message):
        place_of(url)


def test_http_is_for_this_machine_only_and_only_where_it_is_allowed(serve):
    server = serve(lambda path, number: answer(b"x"), tls=False)
    with HttpClient(5.0, tls_context(), loopback_http=True).open(server.url) as response:
        assert response.read(10) == b"x"
    with pytest.raises(UrlError, match="must be an https URL"):
        place_of("http://example.com", loopback_http=True)


def test_a_ca_file_that_is_none_is_named(tmp_path):
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").write_text("nothing")
        with pytest.raises(UrlError, match=r"ca_file .*\.pem cannot be read as a PEM file"):
            tls_context(str(path))
    assert tls_context(str(tmp_path))


def test_urls_are_shown_without_what_may_be_secret():
    assert shown("https://u:p@example.com:1/x?token=y#z") == "https://example.com:1/x"
    assert shown("https://[::1") == "an invalid URL"


class TestProxy:
    PLACE = place_of("https://db.example.com")

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, None),
            ({"HTTPS_PROXY": "http://proxy:3128"}, ("http", "proxy", 3128)),
            ({"https_proxy": "proxy:3128"}, ("http", "proxy", 3128)),
            ({"ALL_PROXY": "https://proxy"}, ("https", "proxy", 443)),
            ({"HTTP_PROXY": "http://proxy:3128"}, None),
            ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, None),
            ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
            ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "ample.com,10.0.0.0/8"}, ("http", "proxy", 3128)),
        ],
    )
    def test_it_comes_from_the_environment(self, environment, expected, monkeypatch):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        found = proxy_for(self.PLACE)
        assert (found and found.origin) == expected

    def test_a_network_is_bypassed(self, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "x, 10.0.0.0/8")
        assert proxy_for(place_of("https://10.1.2.3"), "http://proxy:1") is None
        assert proxy_for(place_of("https://11.1.2.3"), "http://proxy:1") is not None

    def test_socks_is_refused(self):
        with pytest.raises(UrlError, match="the proxy's URL must be an https URL"):
            proxy_for(self.PLACE, "socks5://proxy")

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_a_tunnel_is_opened_with_the_proxys_credentials_only(self, serve, tls):
        proxy = serve(lambda path, number: answer(b"", "200 Connection established", "X: y"), tls=tls)
        proxy.relay = True
        server = serve(lambda path, number: answer(b"through it" * 10_000))
        url = proxy.url.replace("//", "//ann:secret@")
        assert fetch(server, limit=100_000, proxy=url) == b"through it" * 10_000
        ((request, headers),) = proxy.requests
        assert request == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
        assert headers["Proxy-Authorization"] == "Basic YW5uOnNlY3JldA=="
        ((_request, headers),) = server.requests
        assert "Proxy-Authorization" not in headers

    @pytest.mark.parametrize(
        ("parts", "kind", "message"),
        [
            (answer(b"", "407 Who are\x1b you"), ConnectError, r"the proxy 127\.0\.0\.1:\d+ answered 407 Who are you"),
            (drip(b"HTTP/1.1 200 OK and so on" * 4), TimedOutError, r"no complete response within 0\.5 s"),
            ([head("HTTP/1.1 100 Continue") * 5000], TooLargeError, "the header has more than"),
        ],
        ids=["refused", "dripped", "endless"],
    )
    def test_a_hostile_proxy_ends_in_a_typed_error(self, serve, parts, kind, message):
        proxy = serve(lambda path, number: parts, tls=False)
        with pytest.raises(kind, match=message), HttpClient(0.5, tls_context(), proxy=proxy.url).open("https://x"):
            pass

    def test_a_proxy_that_is_away_is_named(self):
        with held_port() as port:
            client = HttpClient(5.0, tls_context(), proxy=f"http://ann:secret@127.0.0.1:{port}")
            with pytest.raises(ConnectError) as caught, client.open("https://x"):
                pass
        assert str(caught.value) == f"the proxy 127.0.0.1:{port} cannot be reached: Connection refused"


class TestEcho:
    def ask(self, server, timeout=5.0):
        return _egress.public_address([server.url], timeout, str(server.ca_file))

    @pytest.mark.parametrize("body", [b"198.41.0.4\n", b'{"ip": "198.41.0.4"}', b'{"origin": "198.41.0.4"}'])
    def test_an_address_is_read_whatever_proxy_is_set(self, serve, monkeypatch, body):
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        assert self.ask(serve(lambda path, number: answer(body))) == "198.41.0.4"

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (drip(b"HTTP/1.1 200 OK and so on" * 4), "no complete response within 0.5 s"),
            (answer(b"x" * 5000), "at most 4096 are allowed"),
            (answer(b'{"ip":' * 600), "did not answer with an IPv4 address"),
            (answer(b'{"ip": ["198.41.0.4"]}'), "did not answer with an IPv4 address"),
            (answer(b"2001:db8::1"), "did not answer with an IPv4 address"),
            (answer(b"", "503 Busy"), "answered 503"),
            (redirect("https://localhost:1/"), "answered 302"),
        ],
        ids=["dripped", "large", "deep", "list", "version 6", "503", "redirect"],
    )
    def test_any_other_answer_is_an_error(self, serve, parts, message):
        with pytest.raises(_egress.EgressError) as caught:
            self.ask(serve(lambda path, number: parts), 0.5)
        assert message in str(caught.value)
        assert "Name another service" in str(caught.value)

    @pytest.mark.parametrize("url", ["http://example.com", "https://x:99999", "ftp://127.0.0.1", "https://["])
    def test_a_url_that_is_not_https_is_refused(self, url):
        with pytest.raises(_egress.EgressError, match="cannot be asked: it"):
            _egress.public_address([url])


class TestArchive:
    def save(self, server, path, timeout=0.5):
        Downloader(ca_file=str(server.ca_file), timeout=timeout).save(f"{server.url}/x.tgz", str(path))
        return path.read_bytes()

    def test_a_slow_archive_comes_as_long_as_there_is_progress(self, serve, tmp_path):
        block = bytes(20_000)
        parts = [*answer(b"", "200 OK", "Content-Length: 120000"), *[0.3, block] * 6]
        assert self.save(serve(lambda path, number: parts), tmp_path / "x.tgz", 1.5) == block * 6

    def test_an_archive_whose_compression_the_server_names_is_kept_as_it_was_sent(self, serve, tmp_path):
        content = gzip.compress(b"an archive")
        server = serve(lambda path, number: answer(content, "200 OK", "Content-Encoding: x-gzip"))
        assert self.save(server, tmp_path / "x.tgz") == content

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (drip(b"HTTP/1.1 200 OK and so on" * 4), "stalled for 0.5 s"),
            (
                [head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half"],
                "was interrupted: the connection ended after 4 of 8",
            ),
            ([b"SSH-2.0\r\n"], "cannot be downloaded: the response is not valid HTTP"),
            ([], "cannot be downloaded: the connection was closed without a response"),
            ([head("HTTP/1.1 200 OK", CHUNKED) + b"zz\r\n"], "was interrupted"),
            ([head("HTTP/1.1 200 OK", f"Content-Length: {2 * 1024**3}")], "at most 1073741824 are allowed"),
            (answer(b"", "500 Oh\x1b[31m no"), "answered 500 Oh[31m no."),
        ],
        ids=["dripped header", "truncated", "no http", "nothing", "wrong chunk", "large", "500"],
    )
    def test_what_a_server_does_wrong_is_an_error_of_the_client(self, serve, tmp_path, parts, message):
        with pytest.raises(ClientError) as caught:
            self.save(serve(lambda path, number: parts), tmp_path / "x.tgz")
        assert message in str(caught.value)
