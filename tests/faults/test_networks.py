# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of names and ways, in a network namespace of their own: a resolver that answers as told, and routes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.broken import Behaviour, BrokenServer, Peer
from tests.faults.certificates import Authority
from tests.faults.table import PASSWORD, finish
from tests.faults.test_faults import ROOT, interpreter

HOST = "db.shop.test"
DARK = "198.51.100.7"

# (name, what DNS says, routes to make, changes of the endpoint, code, neighbour, what the sentences say, the cure)
FAULTS: list[tuple[str, str, list[str], dict[str, Any], str, str, str, str]] = [
    ("name not found", "nxdomain", [], {}, "dns_not_found", "dns_temporary", HOST, "name"),
    ("name not found, self-hosted", "nxdomain", [], {"deployment": "self_hosted"}, "dns_not_found", "dns_temporary",
     "hosts file", "hosts file"),
    ("name without an address", "empty", [], {}, "dns_not_found", "no_ipv4_address", HOST, "name"),
    ("name filtered", "nowhere", [], {}, "dns_filtered", "tcp_refused", "a DNS filter", "hosts file"),
    ("resolver fails", "servfail", [], {}, "dns_temporary", "dns_not_found", HOST, "resolver"),
    ("resolver refuses", "refused", [], {}, "dns_temporary", "dns_timeout", HOST, "resolver"),
    ("resolver silent", "silent", [], {}, "dns_timeout", "dns_not_found", "/etc/resolv.conf", "resolver"),
    ("IPv6 only, no way to it", "aaaa", [], {}, "no_ipv4_address", "tcp_unreachable", "2001:db8::7", "name"),
    ("no way", "a", [], {}, "tcp_unreachable", "tcp_timeout", DARK, "way"),
    ("rejected on the network path", "a", [f"unreachable {DARK}"], {}, "tcp_unreachable", "tcp_refused", DARK, "way"),
    ("forbidden here", "a", [f"prohibit {DARK}"], {}, "tcp_blocked_locally", "tcp_unreachable", DARK, "way"),
    ("filtered", "a", [f"{DARK} dev dark"], {}, "tcp_timeout", "tcp_unreachable", "outgoing TCP", "way"),
    ("filtered, dedicated", "a", [f"{DARK} dev dark"], {"deployment": "dedicated"}, "tcp_timeout", "tcp_refused",
     "IP allowlist", "way"),
    ("filtered, self-hosted", "a", [f"{DARK} dev dark"], {"deployment": "self_hosted"}, "tcp_timeout", "dns_timeout",
     "firewall", "way"),
    ("refused", "loopback", [], {}, "tcp_refused", "tcp_timeout", "127.0.0.1", "server"),
    ("slow resolver", "slow", [], {}, "tcp_refused", "dns_timeout", "127.0.0.1", "server"),
]  # fmt: skip


class Dns(threading.Thread):
    """A DNS server that answers every question in one way."""

    def __init__(self, address: str, answer: str = "") -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))

    def run(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(2048)
            reply = self._reply(data)
            if reply:
                self._socket.sendto(reply, peer)

    def _reply(self, data: bytes) -> bytes:
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack("!H", data[end - 4 : end - 2])[0]
        code = {"nxdomain": 3, "servfail": 2, "refused": 5}.get(self.answer, 0)
        records = {
            "aaaa": {28: socket.inet_pton(socket.AF_INET6, "2001:db8::7")},
            "a": {1: socket.inet_aton(DARK)},
            "nowhere": {1: bytes(4)},
            "loopback": {1: socket.inet_aton("127.0.0.1")},
            "slow": {1: socket.inet_aton("127.0.0.1")},
        }.get(self.answer, {})
        if self.answer == "silent":
            return b""
        if self.answer == "slow":
            threading.Event().wait(0.4)
        found = records.get(kind)
        record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(found)) + found if found else b""
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if found else 0, 0, 0)
        return head + data[12:end] + record


def namespace_main() -> None:
    """In the namespace: make each fault's network in turn, check, follow the cure, check again; print the reports."""
    work = json.load(sys.stdin)
    folder = Path(work["folder"])
    texts = {
        "resolv.conf": RESOLV.format("127.0.0.1"),
        "hosts": "",
        "nsswitch.conf": "hosts: files dns\n",
    }
    for name, text in texts.items():
        if Path("/etc", name).exists():
            (folder / name).write_text(text)
            subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)
    # What goes into one end of this pair is for a neighbour that is not at the other.
    neighbour = f"neigh add {DARK} lladdr 02:00:00:00:00:07 dev dark"
    veth = ["link add dark type veth peer name light", "link set light up", "link set dark up"]
    for command in ("link set lo up", *veth, "addr add 198.51.100.1/32 dev dark", neighbour):
        subprocess.run(["ip", *command.split()], check=True)
    server = Dns("127.0.0.1")
    server.start()
    Dns("127.0.0.2", "loopback").start()
    authority = Authority(folder, "Network CA")
    certificate = authority.issue("network", names=(HOST,))
    reports = []
    for _name, answer, routes, changes, *_told, cure in FAULTS:
        server.answer = answer
        facts = {**work["endpoint"], "password": PASSWORD, "ca_file": str(authority.path), **changes}
        for route in routes:
            subprocess.run(["ip", "route", "add", *route.split()], check=True)
        before = _checked(work["python"], facts)
        for route in routes:
            subprocess.run(["ip", "route", "del", *route.split()], check=True)
        address = DARK if cure == "way" else "127.0.0.1"
        with _cured(cure, folder, server), BrokenServer(_shows(certificate), (address, facts["port"])):
            after = _checked(work["python"], facts)
        reports.append([*before, after[0]])
    json.dump(reports, sys.stdout)


RESOLV = "nameserver {}\noptions timeout:1 attempts:1\n"


@contextlib.contextmanager
def _cured(cure: str, folder: Path, server: Dns) -> Iterator[None]:
    """What the cure says: a line in the hosts file, another resolver, the name in its zone, or a way to the address."""
    hosts, resolv = folder / "hosts", folder / "resolv.conf"
    if cure == "hosts file":
        hosts.write_text(f"127.0.0.1 {HOST}\n")
    if cure == "resolver":
        resolv.write_text(RESOLV.format("127.0.0.2"))
    if cure == "name":
        server.answer = "loopback"
    if cure == "way":
        subprocess.run(["ip", "addr", "add", f"{DARK}/32", "dev", "lo"], check=True)
    yield
    hosts.write_text("")
    resolv.write_text(RESOLV.format("127.0.0.1"))
    if cure == "way":
        subprocess.run(["ip", "addr", "del", f"{DARK}/32", "dev", "lo"], check=True)


def _shows(certificate: Path) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(certificate)
        peer.startup()
        peer.scram(PASSWORD)
        finish(peer)

    return behaviour


def _checked(python: str, facts: dict[str, Any]) -> list[Any]:
    done = subprocess.run(
        [python, "-c", CHECK], input=json.dumps(facts), capture_output=True, text=True, timeout=60, check=False,
        cwd="/", env={"PYTHONPATH": str(ROOT / "collections"), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    sys.stderr.write(done.stderr)
    return list(json.loads(done.stdout))


CHECK = """
import json, sys, time
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
began = time.monotonic()
report = check_endpoint(Endpoint.from_dict(json.load(sys.stdin)), 2.0).as_dict()
print(json.dumps([report, time.monotonic() - began]))
"""


def _unshare() -> list[str]:
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *own, "--net", "--mount"]


def namespaces_work() -> bool:
    """Whether this account may make the networks."""
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "mount"))
    return tools and subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module", params=["3.9", "3.13"])
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a Python says of each fault, and how many seconds that took, by the fault's name."""
    python = interpreter(f"python{request.param}")
    if python is None:
        pytest.skip(f"no working python{request.param} on PATH or in pyenv")
    if not namespaces_work():
        pytest.skip("no network namespaces: run as root, or allow unprivileged user namespaces; install iproute2")
    endpoint = {"name": "shop", "host": HOST, "port": 26257, "user": "maxroach", "database": "defaultdb"}
    work = {"folder": str(tmp_path_factory.mktemp("etc")), "python": python, "endpoint": endpoint}
    done = subprocess.run(
        [*_unshare(), sys.executable, "-c", "from tests.faults.test_networks import namespace_main; namespace_main()"],
        input=json.dumps(work), capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip((fault[0] for fault in FAULTS), json.loads(done.stdout)))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_network(fault: Any, reports: dict[str, Any]) -> None:
    name, answer, _routes, _changes, code, neighbour, says, _cure = fault
    report, seconds, cured = reports[name]
    assert report["code"] == code, report
    assert report["code"] != neighbour
    assert HOST in report["cause"]
    assert HOST in report["cure"]
    assert says in report["cause"] + report["cure"]
    assert ("slow_dns" in [note["code"] for note in report["notes"]]) == (answer == "slow")
    assert cured["code"] == "ok", (report["cure"], cured["cause"])
    # The bound of the check, and room for a loaded machine.
    assert seconds < 2.0 + 10
