# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Cloud API's client in a scripted conversation over real HTTP, and its settings."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import http_client as _http
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.allowlist import (
    DesiredAllowlist,
    Reconciler,
    StoredEntry,
    plan,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    AccessError,
    CloudError,
    ExistsError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
    segment,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings, key_is_set
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import parse_entry
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

from tests.hostile import HostileServer, answer, drip

KEY = "CCDB1_canary-of-the-key"


class Conversation:
    """A server on this machine that gives scripted responses, one after the other; the last one is repeated.

    A response is a status and a body (an object becomes JSON), or a status, a body and headers; None closes the
    connection without one.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []
        conversation = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                conversation.requests.append((self.command, self.path, body, dict(self.headers)))
                script = conversation.script
                response = script.pop(0) if len(script) > 1 else script[0]
                if response is None:
                    self.close_connection = True
                    return
                status, content, headers = (*response, {})[:3]
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names of http.server

            def log_message(self, *words):
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.api = CloudApi(Settings.from_options({"url": self.url, "api_key": KEY, "timeout": 5}))

    def sent(self):
        return [f"{method} {path}" for method, path, _body, _headers in self.requests]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which are not made."""
    pauses = []
    monkeypatch.setattr(_shared, "take_turn", lambda: None)
    monkeypatch.setattr(_http._orphan, "pause", pauses.append)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return pauses


@pytest.fixture
def converse(pauses):
    """Starts conversations, and ends them after the test."""
    conversations = []

    def start(*script):
        conversations.append(Conversation(*script))
        return conversations[-1]

    yield start
    for conversation in conversations:
        conversation.close()


def test_each_operation_is_one_request(converse):
    talk = converse(
        (200, {"users": [{"name": "ann"}], "databases": [{"name": "d", "table_count": "2"}, {"name": "e"}]})
    )
    entry = {"cidr_ip": "198.41.0.9", "cidr_mask": 32, "name": "n", "sql": True, "ui": False}
    assert talk.api.users("1") == ["ann"]
    assert talk.api.databases("1") == {"d": 2, "e": None}
    talk.api.create_user("1", "ann", "secret")
    talk.api.set_password("1", "a/b", "secret")
    talk.api.remove_user("1", "a b")
    talk.api.add_entry("1", entry)
    talk.api.update_entry("1", entry)
    talk.api.remove_entry("1", entry)
    assert talk.sent() == [
        "GET /api/v1/clusters/1/sql-users?pagination.limit=500",
        "GET /api/v1/clusters/1/databases?pagination.limit=500",
        "POST /api/v1/clusters/1/sql-users",
        "PUT /api/v1/clusters/1/sql-users/a%2Fb/password",
        "DELETE /api/v1/clusters/1/sql-users/a%20b",
        "POST /api/v1/clusters/1/networking/allowlist",
        "PATCH /api/v1/clusters/1/networking/allowlist/198.41.0.9/32",
        "DELETE /api/v1/clusters/1/networking/allowlist/198.41.0.9/32",
    ]
    assert json.loads(talk.requests[5][2]) == entry
    assert json.loads(talk.requests[6][2]) == {"name": "n", "sql": True, "ui": False}
    assert {headers["Authorization"] for *_request, headers in talk.requests} == {f"Bearer {KEY}"}
    assert talk.api.sent == 8


def test_pages_are_followed_and_a_loop_ends(converse):
    first = {"clusters": [{"id": "1", "name": "a"}], "pagination": {"next_page": "2"}}
    talk = converse((200, first), (200, {"clusters": [{"id": "2", "name": "b"}]}))
    assert [cluster["id"] for cluster in talk.api.clusters()] == ["1", "2"]
    assert "pagination.page=2" in talk.sent()[1]
    with pytest.raises(CloudError, match="loops back"):
        converse((200, first)).api.clusters()


@pytest.mark.parametrize(
    "broken",
    [None, (500, {}), (503, b"oops"), (200, b"<html>"), (200, []), (429, {}, {"Retry-After": "7"})],
    ids=["closed", "500", "503", "web page", "no object", "rate limit"],
)
def test_a_read_is_retried(converse, pauses, broken):
    talk = converse(broken, broken, (200, {"clusters": []}))
    assert talk.api.clusters() == []
    assert len(talk.requests) == 3
    assert len(pauses) == 2
    if broken and len(broken) == 3:
        assert pauses == [7.0, 7.0]


def test_a_read_is_retried_a_limited_number_of_times(converse):
    talk = converse((500, {"message": "no luck"}))
    with pytest.raises(UnavailableError, match=r"answered 500: no luck\. This is an error of the service"):
        talk.api.clusters()
    assert len(talk.requests) == 5


@pytest.mark.parametrize("broken", [None, (500, {}), (200, b"<html>")], ids=["closed", "500", "web page"])
def test_a_change_whose_response_is_lost_is_not_repeated(converse, broken):
    talk = converse(broken, (200, {}))
    with pytest.raises(UnavailableError) as caught:
        talk.api.create_user("1", "ann", "the-secret")
    assert caught.value.uncertain
    assert len(talk.requests) == 1
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("when", ["7", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_when_to_come_back_does_not_say_that_nothing_was_done(converse, pauses, when):
    """Only 429 says so: a 503 may come from a proxy after the service has made the change."""
    talk = converse((503, {"message": "come back"}, {"Retry-After": when}), (200, {}))
    with pytest.raises(UnavailableError) as caught:
        talk.api.create_user("1", "ann", "the-secret")
    assert caught.value.uncertain
    assert len(talk.requests) == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", _http.LONGEST_PAUSE),
        ("99999", _http.LONGEST_PAUSE),
        ("soon", None),
        ("-1", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_is_the_one_that_was_asked_for(converse, pauses, status, when, seconds):
    """A number of seconds or a date, as HTTP has both; never longer than LONGEST_PAUSE."""
    talk = converse((status, {}, {"Retry-After": when}), (200, {"clusters": []}))
    assert talk.api.clusters() == []
    if seconds is None:
        assert 0.2 <= pauses[0] <= 0.4
    else:
        assert pauses == [seconds]


JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


def test_a_json_web_token_comes_with_the_vanity_name(converse, monkeypatch):
    talk = converse((401, {"message": "no"}))
    monkeypatch.setenv("COCKROACH_VANITY_NAME", "acme")
    for options in ({}, {"vanity_name": "other"}):
        api = CloudApi(Settings.from_options({"url": talk.url, "api_key": JWT, **options}), attempts=1)
        with pytest.raises(AccessError, match="make a new one in the Console"):
            api.clusters()
    monkeypatch.delenv("COCKROACH_VANITY_NAME")
    with pytest.raises(AccessError, match="set COCKROACH_VANITY_NAME in the environment, or cloud"):
        CloudApi(Settings.from_options({"url": talk.url, "api_key": JWT}), attempts=1).clusters()
    names = [headers.get("Cc-Vanity-Name") for _method, _path, _body, headers in talk.requests]
    assert names == ["acme", "other", None]


def test_a_change_that_was_not_made_or_does_no_harm_is_repeated(converse):
    limited = converse((429, {}), (200, {}))
    limited.api.create_user("1", "ann", "secret")
    assert len(limited.requests) == 2
    password = converse(None, (500, {}), (200, {}))
    password.api.set_password("1", "ann", "secret")
    assert len(password.requests) == 3


REFUSALS = [
    (401, {"message": "who are you", "code": 16}, AccessError, "make a new one in the Console"),
    (403, {"message": "no"}, AccessError, "needs another role: changing SQL users needs Cluster Admin"),
    (404, {"message": "nothing here"}, NotFoundError, "answered 404: nothing here."),
    (409, {"message": "conflict"}, ExistsError, "answered 409: conflict."),
    (400, {"message": "the user already exists", "code": 6}, ExistsError, "(code 6)."),
    (400, {"message": "the cluster is locked"}, CloudError, "wait for its end"),
    (503, {"message": "the cluster is locked by an upgrade", "code": 14}, CloudError, "wait for its end"),
    (400, {"message": "invalid CIDR block 10.0.0.5/24", "code": 3}, CloudError, "block 10.0.0.5/24 (code 3)."),
    (400, {"message": "unlock the blocked clock", "code": 9}, CloudError, "clock (code 9)."),
    (400, {"message": "bad\nname"}, CloudError, "answered 400: bad name."),
    (400, b"<html>", CloudError, "answered 400: Bad Request."),
    (302, b"", CloudError, "answered 302: Found."),
    (403, {"message": "Rate limit exceeded"}, RateLimitedError, "Other programs use the same key"),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), REFUSALS)
def test_refusals(converse, status, body, kind, message):
    with pytest.raises(CloudError) as caught:
        converse((status, body)).api.create_user("1", "ann", "secret")
    assert caught.type is kind
    assert message in str(caught.value)
    assert not caught.value.uncertain
    assert KEY not in str(caught.value)
    assert str(caught.value).startswith("Cloud API: POST /api/v1/clusters/1/sql-users answered")


def test_a_response_without_its_list_is_refused(converse):
    for body in ({}, {"users": "ann"}, {"users": ["ann"]}):
        with pytest.raises(CloudError, match=r"has no list 'users'\. Check cloud\.url\."):
            converse((200, body)).api.users("1")


def test_the_ca_is_asked_for_without_the_key(converse):
    talk = converse((200, b"not a certificate"))
    with pytest.raises(
        OnboardingError, match=r"the CA at http://127\.0\.0\.1:\d+/clusters/1/cert: does not contain a PEM"
    ):
        talk.api.authorities("1")
    assert "Authorization" not in talk.requests[0][3]


def test_a_password_of_netrc_does_not_replace_the_key(converse, monkeypatch, tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login ann password of-netrc\n")
    monkeypatch.setenv("NETRC", str(path))
    talk = converse((200, {"clusters": []}))
    assert talk.api.clusters() == []
    assert talk.requests[0][3]["Authorization"] == f"Bearer {KEY}"


def page(**more):
    return {"allowlist": [], "propagating": False, **more}


ODD = [
    ("clusters", {"clusters": [{"id": "1"}]}, "'name' is missing"),
    ("clusters", {"clusters": [{"id": 1, "name": "x"}]}, "'id' must be printable text, but it is a whole number"),
    ("clusters", {"clusters": [{"id": "1", "name": "x\x1b[31m"}]}, "'name' must be printable text"),
    ("clusters", {"clusters": [{"id": "1", "name": "x", "state": ["CREATED"]}]}, "'state' must be printable text"),
    ("clusters", {"clusters": [{"id": "1", "name": "x", "config": "y"}]}, "'config' must be an object"),
    (
        "clusters",
        {"clusters": [{"id": "1", "name": "x", "config": {"serverless": {"routing_id": {}}}}]},
        "'routing_id' must be printable text, but it is an object",
    ),
    ("clusters", {"clusters": [{"id": "1", "name": "x", "regions": ["eu"]}]}, "expected an object but got text"),
    ("clusters", {"clusters": [{"id": "1", "name": "x", "regions": [{"name": 1}]}]}, "'name' must be printable"),
    ("allowlist", page(propagating="no"), "'propagating' must be true or false, but it is text"),
    ("allowlist", page(allowlist=[{"cidr_mask": 1}]), "'cidr_ip' is missing"),
    ("allowlist", page(allowlist=[{"cidr_ip": "1.2.3.4", "cidr_mask": 1.5}]), "'cidr_mask' must be a whole number"),
    ("allowlist", page(allowlist=[{"cidr_ip": "x", "cidr_mask": 1, "sql": "no"}]), "'sql' must be true or false"),
    ("propagating", {"allowlist": []}, "'propagating' is missing"),
    ("propagating", page(propagating=[]), "'propagating' must be true or false, but it is a list"),
    ("users", {"users": [{}]}, "'name' is missing"),
    ("users", {"users": [{"name": None}]}, "'name' is missing"),
    ("users", {"users": [{"name": ["ann"]}]}, "'name' must be printable text, but it is a list"),
    ("databases", {"databases": [{"table_count": 1}]}, "'name' is missing"),
    (
        "databases",
        {"databases": [{"name": "d", "table_count": [1]}]},
        "'table_count' must be a whole number or text",
    ),
]


class TestHostile:
    """Answers that never end, that are too large, and that are not what the API documents."""

    @pytest.fixture
    def serve(self, pauses):
        servers = []

        def start(script, **options):
            servers.append(HostileServer(None, script, keep=True))
            return servers[-1], CloudApi(Settings(KEY, servers[-1].url, **{"timeout": 5.0, **options}))

        yield start
        for server in servers:
            server.close()

    @pytest.mark.parametrize(
        "parts",
        [
            drip(b"HTTP/1.1 200 OK and so on" * 2),
            [*answer(b"", "200 OK", "Content-Length: 40"), *drip(b" " * 38 + b"{}")],
        ],
        ids=["header", "body"],
    )
    def test_a_response_that_drips_ends_at_the_deadline(self, serve, parts):
        _server, api = serve(lambda path, number: parts, timeout=0.3)
        with pytest.raises(UnavailableError, match=r"no complete response within 0\.3 s") as caught:
            api.create_user("1", "ann", "secret")
        assert caught.value.uncertain

    def test_a_read_that_always_drips_ends_after_its_attempts(self, serve):
        server, api = serve(lambda path, number: drip(b"HTTP/1.1 200 OK and so on" * 2), timeout=0.1)
        with pytest.raises(UnavailableError, match=r"no complete response within 0\.1 s"):
            api.clusters()
        assert len(server.requests) == _http.ATTEMPTS

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (answer(b"", "200 OK", "Content-Length: 1001"), "at most 1000 are allowed"),
            ([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * 1001], "more than the 1000 bytes"),
            (answer(b"", "500 Oh", "Content-Length: 1001"), "at most 1000 are allowed"),
            (answer(gzip.compress(bytes(10_000_000))[:900], "200 OK", "Content-Encoding: gzip"), "the encoding gzip"),
        ],
        ids=["announced", "endless", "error", "bomb"],
    )
    def test_a_large_response_is_refused_before_it_is_read_and_not_asked_for_again(
        self, serve, monkeypatch, parts, message
    ):
        monkeypatch.setattr(_http, "BODY_LIMIT", 1000)
        server, api = serve(lambda path, number: parts)
        with pytest.raises(CloudError, match=message) as caught:
            api.clusters()
        assert len(server.requests) == 1
        with pytest.raises(CloudError, match=message) as caught:
            api.create_user("1", "ann", "secret")
        assert caught.value.uncertain

    @pytest.mark.parametrize(
        "parts",
        [
            answer(b"", "200 OK", f"Content-Length: {2 * 1024**3}"),
            [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *repeat(b" " * 1024 * 1024, 2048)],
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                *repeat(b"100000\r\n" + b" " * 2**20 + b"\r\n", 2048),
            ],
            answer(b"", "200 OK", "Content-Encoding: gzip", f"Content-Length: {2 * 1024**3}"),
            answer(gzip.compress(bytes(2**26)), "200 OK", "Content-Encoding: gzip"),
        ],
        ids=["announced", "endless", "chunked", "compressed", "bomb"],
    )
    def test_of_two_gigabytes_no_more_is_read_than_the_limit(self, serve, parts):
        sent = []

        def script(path, number):
            for part in parts:
                sent.append(len(part))
                yield part

        server, api = serve(script)
        for ask in (api.clusters, lambda: api.authorities("1"), lambda: api.create_user("1", "ann", "secret")):
            with pytest.raises(CloudError, match=r"are allowed|the encoding gzip, which was not asked for") as caught:
                ask()
            assert KEY not in str(caught.value)
        assert len(server.requests) == 3
        # What the system's buffers hold is more than what the client reads.
        assert sum(sent) < 3 * (_http.BODY_LIMIT + 2**26)

    @pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
    @pytest.mark.parametrize("tls", [False, True], ids=["http", "another host"])
    def test_the_key_follows_no_redirect(self, serve, tmp_path, status, tls):
        elsewhere = HostileServer(tmp_path if tls else None, lambda path, number: answer(b'{"clusters": []}'))
        host = f"localhost:{elsewhere.port}" if tls else f"127.0.0.1:{elsewhere.port}"
        location = f"Location: {'https' if tls else 'http'}://{host}/api/v1/clusters"
        server, api = serve(lambda path, number: answer(b"", status, location))
        try:
            for ask in (
                api.clusters,
                lambda: api.authorities("1"),
                lambda: api.create_user("1", "ann", "secret"),
                lambda: api.set_password("1", "ann", "secret"),
            ):
                with pytest.raises(CloudError, match=rf"answered {status[:3]}"):
                    ask()
            assert len(server.requests) == 4
            assert (elsewhere.connections, elsewhere.requests) == (0, [])
        finally:
            elsewhere.close()

    def test_a_page_that_is_a_url_is_asked_from_the_same_server(self, serve):
        elsewhere = HostileServer(None, lambda path, number: answer(b'{"clusters": []}'))

        def script(path, number):
            page = {} if number else {"next_page": f"{elsewhere.url}/api/v1/clusters"}
            return answer(json.dumps({"clusters": [], "pagination": page}).encode())

        try:
            server, api = serve(script)
            assert api.clusters() == []
            assert len(server.requests) == 2
            assert elsewhere.connections == 0
        finally:
            elsewhere.close()

    def test_a_service_that_always_asks_to_wait_is_given_up(self, serve, pauses):
        server, api = serve(lambda path, number: answer(b"{}", "429 Too Many", "Retry-After: 99999"))
        for ask in (api.clusters, lambda: api.create_user("1", "ann", "secret")):
            pauses.clear()
            with pytest.raises(RateLimitedError):
                ask()
            assert pauses == [_http.LONGEST_PAUSE] * (_http.ATTEMPTS - 1)
        assert len(server.requests) == 2 * _http.ATTEMPTS

    def test_a_certificate_of_another_server_gets_no_key(self, pauses, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        server = HostileServer(tmp_path / "a", lambda path, number: answer(b'{"clusters": []}'))
        other = HostileServer(tmp_path / "b", lambda path, number: answer(b'{"clusters": []}'))
        try:
            with pytest.raises(CloudError, match="cannot be verified"):
                CloudApi(Settings(KEY, server.url, ca_file=str(other.ca_file), timeout=5.0)).clusters()
            assert server.requests == []
        finally:
            server.close()
            other.close()

    @pytest.mark.parametrize(("limit", "value"), [("LIST_PAGES", 3), ("LIST_BYTES", 200), ("LIST_SECONDS", 0.0)])
    def test_pages_without_an_end_are_an_error(self, serve, monkeypatch, limit, value):
        def script(path, number):
            return answer(json.dumps({"clusters": [], "pagination": {"next_page": f"{number:050d}"}}).encode())

        monkeypatch.setattr(_http, limit, value)
        server, api = serve(script)
        with pytest.raises(CloudError, match=r"the list does not end: \d pages were read"):
            api.clusters()
        assert 1 <= len(server.requests) <= 3
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"a":' * 10_000, "not the API's JSON"),
            (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "it is nested too deeply"),
            (b'{"a":' * 200 + b"1" + b"}" * 200, "it is nested too deeply"),
            (b'{"clusters": [], "x": Infinity}', "Infinity is not a number in JSON"),
            (b'{"clusters": [], "x": [NaN]}', "NaN is not a number in JSON"),
            (b'{"clusters": [], "x": 1e999}', "it has an infinite number"),
            (b'{"clusters": [], "x": ' + b"9" * 100_000 + b"}", "not the API's JSON"),
            (b"\xff\xfe", "not the API's JSON"),
        ],
        ids=["open", "deep", "less deep", "infinity", "nan", "overflow", "digits", "no text"],
    )
    def test_json_that_nothing_can_work_with_is_refused(self, converse, body, message):
        with pytest.raises(UnavailableError, match=message):
            converse((200, body)).api.clusters()

    @pytest.mark.parametrize("token", [["2"], {"a": 1}, 2, 1.5, True, "x" * 5000], ids=str)
    def test_a_next_page_that_is_none_is_refused(self, converse, token):
        body = {"clusters": [], "pagination": {"next_page": token}}
        with pytest.raises(CloudError, match="no valid 'next_page'"):
            converse((200, body)).api.clusters()

    @pytest.mark.parametrize(("operation", "body", "message"), ODD)
    def test_a_wrong_type_in_any_field_is_named(self, converse, operation, body, message):
        api = converse((200, body)).api
        with pytest.raises(CloudError) as caught:
            getattr(api, operation)(*([] if operation == "clusters" else ["1"]))
        assert message in str(caught.value)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        "count", [None, "", "many", "9" * 5000, -1], ids=["null", "empty", "text", "large", "below"]
    )
    def test_a_number_of_tables_that_is_none_is_not_known(self, converse, count):
        assert converse((200, {"databases": [{"name": "d", "table_count": count}]})).api.databases("1") == {"d": None}

    @pytest.mark.parametrize("message", [["a"], {"b": 1}, 7, None, ""], ids=str)
    def test_an_error_with_an_odd_message_has_the_servers_reason(self, converse, message):
        with pytest.raises(CloudError, match=r"answered 400: Bad Request\."):
            converse((400, {"message": message, "code": True, "details": "x"})).api.create_user("1", "ann", "secret")

    @pytest.mark.parametrize("odd", [{"allowlist": []}, {"propagating": "no"}, [], b'{"a":' * 10_000], ids=str)
    def test_a_reconciliation_says_what_was_done_whatever_is_answered(self, converse, odd):
        talk = converse((200, {}), (200, odd))
        entry = StoredEntry("198.41.0.9", 32, "ann", True, False)
        reconciler = Reconciler(talk.api, "1", "shop", pause=lambda seconds: None)
        with pytest.raises(OnboardingError) as caught:
            reconciler.carry_out(plan([], DesiredAllowlist("present", "", (parse_entry("198.41.0.9"),))), 5.0)
        assert f"Done: add {entry.network} sql ''" in str(caught.value)
        assert "Not done: nothing" in str(caught.value)

    def test_a_ca_file_that_is_none_is_named(self, tmp_path):
        with pytest.raises(OnboardingError, match=r"^cloud\.ca_file .* cannot be read as a PEM file"):
            CloudApi(Settings(KEY, ca_file=str(tmp_path / "missing.pem")))


def test_segments():
    assert [segment(text) for text in ("a b", "a/b", "a.b", "...")] == ["a%20b", "a%2Fb", "a.b", "..."]
    for other_path in ("", ".", ".."):
        with pytest.raises(OnboardingError, match="is not a valid name in a request"):
            segment(other_path)


class TestSettings:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch):
        monkeypatch.delenv("COCKROACH_API_KEY", raising=False)
        monkeypatch.delenv("COCKROACH_SERVER", raising=False)
        monkeypatch.delenv("COCKROACH_VANITY_NAME", raising=False)

    def test_defaults(self):
        settings = Settings.from_options({"api_key": f" {KEY}\n", "url": None, "ca_file": "", "timeout": None})
        assert settings == Settings(KEY, "https://cockroachlabs.cloud", None, 30.0)
        assert KEY not in repr(settings)

    def test_all_options(self):
        options = {"url": "https://x/", "api_key": KEY, "ca_file": "ca.crt", "timeout": "2.5"}
        assert Settings.from_options(options) == Settings(KEY, "https://x", "ca.crt", 2.5)

    def test_the_environment_fills_in(self, monkeypatch):
        assert not key_is_set({"url": "https://x", "api_key": ""})
        monkeypatch.setenv("COCKROACH_API_KEY", "from-the-environment")
        monkeypatch.setenv("COCKROACH_SERVER", "https://other")
        assert key_is_set({})
        assert Settings.from_options({}) == Settings("from-the-environment", "https://other")
        assert Settings.from_options({"api_key": KEY, "url": "https://x"}) == Settings(KEY, "https://x")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "No API key was given. Set COCKROACH_API_KEY in the environment, cloud.api_key_file"),
            ({"api_key": "a b"}, "Copy the whole key again."),
            ({"api_key": KEY, "url": "http://x"}, "cloud.url must be an https URL, not http://x"),
            ({"api_key": KEY, "url": "https://u:p@x"}, "cloud.url must not hold a user name or a password."),
            ({"api_key": KEY, "timeout": "soon"}, "cloud.timeout must be a number of seconds, not 'soon'."),
            ({"api_key": KEY, "vanity_name": "a\nb: c"}, "cloud.vanity_name 'a\\nb: c' is not a name"),
            ({"api_key_file": "/nowhere/key"}, "cloud.api_key_file /nowhere/key cannot be read: No such file"),
        ],
    )
    def test_wrong_options_are_named(self, options, message):
        with pytest.raises(OnboardingError) as caught:
            Settings.from_options(options)
        assert message in str(caught.value)

    def test_a_key_file_must_be_private(self, tmp_path):
        path = tmp_path / "key"
        path.write_text(f"{KEY}\n")
        path.chmod(0o640)
        with pytest.raises(OnboardingError, match=r"can be read by other users\. Run: chmod 600"):
            Settings.from_options({"api_key_file": str(path)})
        path.chmod(0o600)
        assert Settings.from_options({"api_key_file": str(path)}).key == KEY
