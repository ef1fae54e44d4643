# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of three hosts that logs in by client certificates: issued, renewed under load, killed, taken away."""

from __future__ import annotations

import contextlib
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from tests import fleet
from tests.integration.conftest import files_below
from tests.unit.plugins.plugin_utils.test_issuing import SIGNER
from tests.vault import ROLE, TOKEN, Vault

CLIENT = Path(__file__).with_name("certificate_client.py")
SHOP = 4204
ENV = "/srv/shop/.env"
# Ten connections a second in all, from three hosts.
EVERY = 0.3
KEY = "/srv/shop/certs/client.roach.key"
CERTIFICATE = "/srv/shop/certs/client.roach.crt"
PLACES = ("/srv", "/home", "/var/lib", "/etc/systemd/system")
# Kills the process before its call number N that changes files, where /run/kill-at has N.
KILLER = """
import os, signal
try:
    point = int(open("/run/kill-at").read())
except OSError:
    point = 0
calls = 0
def counted(real):
    def call(*args, **kwargs):
        global calls
        # Ansible and Python write elsewhere.
        calls += real.__name__ != "open" or bool(args[1] & os.O_CREAT)
        if calls == point:
            os.killpg(0, signal.SIGKILL)
        return real(*args, **kwargs)
    return call
if point:
    for name in ("replace", "mkdir", "symlink", "unlink", "rmdir", "open"):
        setattr(os, name, counted(getattr(os, name)))
"""


# Containers of other tests live here while they run.
OTHERS = "var/lib/containers/"


def tree(host):
    """Everything below the places that a run may write to: kind, mode, owner, content."""
    found = {}
    for place in PLACES:
        root = host.path(place)
        for path in sorted(root.rglob("*")) if root.exists() else ():
            if str(path.relative_to(host.root)).startswith(OTHERS):
                continue
            status = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(host.root))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


class Certificates:
    """Three hosts, each with an app that logs in with a certificate of its own."""

    def __init__(self, controller, sandbox, folder, hosts):
        self.controller, self.sandbox, self.folder, self.hosts = controller, sandbox, folder, hosts
        self.output = ""
        badger = sandbox.connections["lone_badger"]
        ca = sandbox.state / "certs" / "lone-badger-ca"
        # In the order of the file, so that a relative path is looked up too.
        facts = {key: badger[key] for key in ("deployment", "host", "port", "database", "user", "ca_file")}
        self.facts = {**facts, "client_ca_file": f"{ca}.crt", "client_ca_key_file": f"{ca}.key"}
        self.app = {"name": "shop", "folder": "/srv/shop", "user": "shop", "frameworks": ["psycopg2", "jdbc"]}
        self.variables = {"crdb_hosts": "all", "crdb_check_drivers": False, "crdb_serial": "100%"}
        controller.environment.update(hosts.environment)
        # Whatever a host says passes through here: the private key must not.
        self.wire = folder / "from-hosts.log"
        self.ssh = folder / "ssh"
        self.ssh.write_text(f'#!/bin/bash\nset -o pipefail\n/usr/bin/ssh "$@" | tee -a {self.wire}\n')
        self.ssh.chmod(0o755)

    def play(self, name, *words, status=0, **variables):
        variables = {
            "crdb_connections": {"shop": self.facts},
            "crdb_apps": [self.app],
            "ansible_ssh_executable": str(self.ssh),
            **self.variables,
            **variables,
        }
        inventory = self.hosts.inventory()
        done = self.controller.playbook(name, variables, "-i", inventory, "-vvvv", *words)
        self.output += done.output
        assert done.status == status, done.output
        return done

    def serial(self, host):
        """The serial number of the certificate in use, whose key must be there and belong to it."""
        pem = host.path(CERTIFICATE).read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        public = subprocess.run(
            ["openssl", "pkey", "-pubout", "-outform", "DER"], input=host.path(KEY).read_bytes(),
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        own = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert public == own, "the key in use does not belong to the certificate in use"
        return certificate.serial_number

    def private_lines(self):
        """A line of each private key on the hosts, also of earlier pairs, and the key of the CA."""
        files = [path for host in self.hosts.hosts.values() for path in host.path("/srv").rglob("client.*.key")]
        files = [path for path in files if path.is_file()]
        assert files
        return {path.read_text().splitlines()[5] for path in files}

    @contextlib.contextmanager
    def programs(self):
        """Programs of the app's user on each host, ten connections a second in all; their lines by host."""
        running = {}
        for name, host in self.hosts.hosts.items():
            words = ["ssh", "-i", self.hosts.key, "-p", str(host.port), "-o", "StrictHostKeyChecking=no"]
            words += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1"]
            host.path("/run/client.py").write_bytes(CLIENT.read_bytes())
            command = f"exec setpriv --reuid {SHOP} --regid {SHOP} --clear-groups python3 /run/client.py {ENV} {EVERY}"
            output = (self.folder / f"{name}.log").open("w+")
            running[name] = (subprocess.Popen([*words, command], stdin=subprocess.PIPE, stdout=output), output)
        lines = {}
        try:
            yield lines
        finally:
            for name, (process, output) in running.items():
                process.communicate(b"end\n", timeout=60)
                output.seek(0)
                lines[name] = output.read().splitlines()
                output.close()


needs_hosts = pytest.mark.skipif(not fleet.possible(), reason="needs root, unshare and sshd")


@pytest.fixture
def certificates(controller, sandbox, tmp_path):
    hosts = fleet.Fleet(3)
    try:
        yield Certificates(controller, sandbox, tmp_path, hosts)
    finally:
        hosts.stop()


@needs_hosts
def test_a_fleet_logs_in_by_certificates_of_its_own(certificates):
    """From nothing to a login, renewed under ten connections a second, and taken away byte for byte."""
    hosts = certificates.hosts.hosts
    before = {name: tree(host) for name, host in hosts.items()}
    check = certificates.play("app_servers", "--check", "--diff", status=2)
    assert "issue /srv/shop/certs/client.roach.crt (it is missing)" in check.output
    assert {name: tree(host) for name, host in hosts.items()} == before

    certificates.play("app_servers")
    first = {name: certificates.serial(host) for name, host in hosts.items()}
    assert len(set(first.values())) == 3
    for host in hosts.values():
        status = host.path(KEY).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, SHOP, SHOP)
        assert "sslkey=%2Fsrv%2Fshop%2Fcerts%2Fclient.roach.key" in host.path(ENV).read_text()
        assert "password" not in host.path(ENV).read_text().split("\n", 1)[1]
    again = certificates.play("app_servers")
    assert [again.recap(name)["changed"] for name in hosts] == [0, 0, 0]

    with certificates.programs() as lines:
        time.sleep(3)
        for _round in range(2):
            certificates.play("app_servers", crdb_client_cert_renew=True)
        time.sleep(3)
    for name, host in hosts.items():
        assert [line for line in lines[name] if " ok roach" not in line] == []
        took = float(lines[name][-1].split()[0]) - float(lines[name][0].split()[0])
        print(f"{name}: {len(lines[name])} connections in {took:.0f} s, {len(lines[name]) / took:.1f} a second")
        assert len(lines[name]) > 50
        assert certificates.serial(host) != first[name]
        # This pair and the one before it.
        assert len([path for path in host.path("/srv/shop/certs/.client.roach").iterdir() if path.is_dir()]) == 3

    secrets = certificates.private_lines() | {
        (certificates.sandbox.state / "certs/lone-badger-ca.key").read_text().split("\n")[1]
    }
    # Of three hosts and the CA: a renewal keeps the key.
    assert len(secrets) == 4
    said = certificates.wire.read_text(errors="replace")
    assert "BEGIN CERTIFICATE REQUEST" in said
    records = [path for host in hosts.values() for place in ("/home", "/var/lib/crdb-onboard") for path in
               host.path(place).rglob("*.json")]  # fmt: skip
    assert records
    seen = [certificates.output, said, *(path.read_text() for path in records)]
    seen += [content.decode("utf-8", "replace") for content in files_below(certificates.controller.home).values()]
    for secret in secrets:
        assert not any(secret in text for text in seen)
    # A key that is sent is seen there, so the test can fail.
    shown = certificates.controller.run(
        "ansible", "all", "-i", certificates.hosts.inventory(), "-e", f"ansible_ssh_executable={certificates.ssh}",
        "-m", "ansible.builtin.command", "-a", f"cat {KEY}",
    )  # fmt: skip
    assert shown.status == 0, shown.output
    assert any(secret in certificates.wire.read_text(errors="replace") for secret in certificates.private_lines())

    removed = certificates.play("offboard")
    assert "remove /srv/shop/certs/client.roach.key" in removed.output
    assert {name: tree(host) for name, host in hosts.items()} == before


@needs_hosts
@pytest.mark.parametrize(
    "points",
    [
        pytest.param(range(4, 22, 8), id="three points"),
        pytest.param(range(2, 22, 2), id="ten points", marks=pytest.mark.thorough),
    ],
)
def test_a_renewal_is_killed(certificates, points):
    """A host never has a key without its certificate in use; the next run finishes."""
    host = certificates.hosts.hosts["app1"]
    certificates.play("app_servers", "-l", "app1")
    serials = [certificates.serial(host)]
    host.path("/run/killer").mkdir()
    host.path("/run/killer/sitecustomize.py").write_text(KILLER)
    killed = 0
    for point in points:
        host.path("/run/kill-at").write_text(str(point))
        interpreter = "env PYTHONPATH=/run/killer PYTHONDONTWRITEBYTECODE=1 setsid -w /usr/bin/python3"
        variables = {"ansible_python_interpreter": interpreter, "crdb_client_cert_renew": True}
        inventory = certificates.hosts.inventory()
        facts = {"crdb_connections": {"shop": certificates.facts}, "crdb_apps": [certificates.app]}
        done = certificates.controller.playbook(
            "app_servers", {**facts, **certificates.variables, **variables}, "-i", inventory, "-l", "app1",
            # Ansible's own call writes files before the module does, which would be counted.
            CRDB_ONBOARD_TRANSPORT="program",
        )  # fmt: skip
        killed += done.status != 0
        serials.append(certificates.serial(host))
        print(f"point {point}: {'killed' if done.status else 'ended'}")
    assert killed == len(points)
    assert len(set(serials)) > 1
    host.path("/run/kill-at").unlink()
    certificates.play("app_servers", "-l", "app1")
    certificates.serial(host)
    assert list(host.path("/srv/shop").rglob(".crdb-onboard*")) == []


class Local:
    """One app below the controller's home, on this machine: as in `fleet`, without hosts."""

    def __init__(self, controller, sandbox, folder, **facts):
        self.controller, self.folder = controller, folder
        badger = sandbox.connections["lone_badger"]
        own = {key: badger[key] for key in ("deployment", "host", "port", "database", "user", "ca_file")}
        self.ca = sandbox.state / "certs" / "lone-badger-ca"
        self.facts = {**own, "client_ca_file": f"{self.ca}.crt", "client_ca_key_file": f"{self.ca}.key", **facts}
        self.facts = {key: value for key, value in self.facts.items() if value is not None}
        self.app = {"name": "shop", "folder": "~/shop", "frameworks": ["psycopg2"]}
        self.certificate = controller.home / "shop/certs/client.roach.crt"

    def play(self, name, *words, status=0, **variables):
        common = {"crdb_hosts": "localhost", "crdb_check_drivers": False, "crdb_apps": [self.app]}
        common["crdb_connections"] = {"shop": self.facts}
        done = self.controller.playbook(name, {**common, **variables}, *words)
        assert done.status == status, done.output
        return " ".join(done.output.split())

    @property
    def read(self):
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


def test_rotate_credentials_renews_and_an_app_that_fails_gets_its_old_certificate_back(controller, sandbox, tmp_path):
    local = Local(controller, sandbox, tmp_path)
    local.app.update(reload={"shell": "touch reloaded"}, health={"shell": "test ! -e broken", "retries": 0})
    local.play("app_servers")
    first = local.read
    names = {"crdb_rotation_connections": ["shop"]}
    said = local.play("rotate_credentials", **names)
    assert "shop: the rollout renews its client certificates that end soon" in said
    assert local.read == first
    local.play("rotate_credentials", crdb_client_cert_renew=True, **names)
    second = local.read
    assert second != first
    assert (controller.home / "shop/reloaded").exists()
    (controller.home / "shop/broken").touch()
    said = local.play("rotate_credentials", status=2, crdb_client_cert_renew=True, **names)
    assert "rolled back" in said
    assert local.read == second
    assert local.certificate.with_suffix(".key").exists()
    state = controller.home / ".local/state/crdb-onboard"
    assert "PRIVATE" not in "".join(path.read_text() for path in state.rglob("*") if path.is_file())
    (controller.home / "shop/broken").unlink()
    local.play("app_servers", crdb_client_cert_renew=True)
    assert local.read not in (first, second)


def fits(certificate, key, folder):
    """Whether a program that read these two bytes could use them together."""
    for name, content in (("read.crt", certificate), ("read.key", key)):
        (folder / name).write_bytes(content)
    try:
        ssl.create_default_context().load_cert_chain(folder / "read.crt", folder / "read.key")
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("way", ["on the host", pytest.param("without openssl", marks=pytest.mark.thorough)])
def test_a_program_that_reads_across_a_renewal_has_two_that_fit(controller, sandbox, tmp_path, way):
    """Programs open the certificate and then the key: a renewal may lie between the two."""
    local = Local(controller, sandbox, tmp_path)
    local.app["frameworks"].append("jdbc")
    variables = {}
    if way == "without openssl":
        # The controller makes the first key. Then the host keeps it, and sends no request.
        empty = tmp_path / "bin"
        empty.mkdir()
        (empty / "sitecustomize.py").write_text(
            "import shutil\nreal = shutil.which\n"
            "shutil.which = lambda name, *more, **how: None if name == 'openssl' else real(name, *more, **how)\n"
        )
        interpreter = f"env PYTHONPATH={empty} PYTHONDONTWRITEBYTECODE=1 {sys.executable}"
        variables["ansible_python_interpreter"] = interpreter
    local.play("app_servers", **variables)
    key = local.certificate.with_suffix(".key")
    pkcs8 = key.with_name(f"{key.name}.pk8")
    read = local.certificate.read_bytes(), key.read_bytes()
    serial = local.read.serial_number
    local.play("app_servers", crdb_client_cert_renew=True, **variables)
    assert local.read.serial_number != serial
    assert fits(read[0], key.read_bytes(), tmp_path)
    assert fits(local.certificate.read_bytes(), read[1], tmp_path)
    in_pem, in_der = load_pem_private_key(key.read_bytes(), None), load_der_private_key(pkcs8.read_bytes(), None)
    assert in_pem.private_numbers() == in_der.private_numbers()
    # A key that others could have read is not kept.
    kept = key.read_bytes()
    key.resolve().chmod(0o644)
    local.play("app_servers", **variables)
    assert key.read_bytes() != kept
    local.facts["client_key_rotation"] = "always"
    assert "changed=0" in local.play("app_servers", **variables)
    local.play("app_servers", crdb_client_cert_renew=True, **variables)
    assert not fits(read[0], key.read_bytes(), tmp_path)
    local.play("offboard")
    assert not (controller.home / "shop").exists()


@pytest.mark.thorough
def test_an_app_gets_back_the_certificate_before_two_that_were_never_confirmed(controller, sandbox, tmp_path):
    """The first run ended before the app was reloaded, and in the second one the app fails."""
    local = Local(controller, sandbox, tmp_path)
    local.app.update(reload={"shell": "touch reloaded"}, health={"shell": "test ! -e broken", "retries": 0})
    local.play("app_servers")
    first, key = local.read, local.certificate.with_suffix(".key").read_bytes()
    path = tmp_path / "role.yml"
    path.write_text("- hosts: localhost\n  gather_facts: false\n  roles:\n    - role: crdb.onboard.crdb_app_config\n")
    options = {f"crdb_app_config_{name}": True for name in ("ca", "client_certs", "renew", "confirm")}
    facts = {"crdb_connections": {"shop": local.facts}, "crdb_apps": [local.app]}
    done = controller.playbook(str(path), {**facts, **options})
    assert done.status == 0, done.output
    assert local.read != first
    (controller.home / "shop/broken").touch()
    assert "rolled back" in local.play("app_servers", status=2, crdb_client_cert_renew=True)
    assert local.read == first
    assert local.certificate.with_suffix(".key").read_bytes() == key
    (controller.home / "shop/broken").unlink()
    local.play("app_servers", crdb_client_cert_renew=True)
    local.play("app_servers", crdb_client_cert_renew=True)
    store = controller.home / "shop/certs/.client.roach"
    assert len([path for path in store.iterdir() if not path.is_symlink()]) == 2
    local.play("offboard")
    assert not (controller.home / "shop/certs").exists()


def test_an_app_that_fails_without_its_certificate_gets_it_back(controller, sandbox, tmp_path):
    local = Local(controller, sandbox, tmp_path)
    local.app.update(reload={"shell": "touch reloaded"}, health={"shell": "test ! -e broken", "retries": 0})
    local.play("app_servers")
    first, key = local.read, local.certificate.with_suffix(".key").read_bytes()
    (controller.home / "shop/broken").touch()
    for name in ("client_ca_file", "client_ca_key_file"):
        del local.facts[name]
    local.facts["password"] = sandbox.connections["lone_badger"]["password"]
    assert "rolled back" in local.play("app_servers", status=2, crdb_app_config_prune=True)
    assert local.read == first
    assert local.certificate.with_suffix(".key").read_bytes() == key
    (controller.home / "shop/broken").unlink()
    local.play("app_servers", crdb_app_config_prune=True)
    assert not local.certificate.exists()
    # The app works without the key: nothing can ask for it any more.
    local.play("app_servers", crdb_app_config_prune=True)
    assert not list((controller.home / "shop/certs").rglob("*.key"))
    assert "changed=0" in local.play("app_servers", crdb_app_config_prune=True)


def test_a_login_that_fails_leaves_every_file_as_it_was(controller, sandbox, tmp_path):
    """A client CA that the cluster does not trust: made by the playbook, refused by the server, nothing written."""
    local = Local(controller, sandbox, tmp_path)
    local.play("app_servers")
    before = files_below(controller.home)
    secret = tmp_path / "vault-secret"
    secret.write_text("canary of the vault\n")
    own = {"crdb_client_cert_ca_file": "own.crt", "crdb_client_cert_ca_key_file": "own.key"}
    files = {name: str(tmp_path / file) for name, file in own.items()}
    words = ("--vault-password-file", secret)
    said = local.play("client_ca", *words, **files)
    assert "can log in as any SQL user, also root" in said
    assert (tmp_path / "own.key").read_bytes().startswith(b"$ANSIBLE_VAULT;")
    again = local.play("client_ca", *words, status=2, **files)
    assert "A CA is never replaced" in again
    assert "A CA is never replaced" in local.play("client_ca", "--check", *words, status=2, **files)
    local.facts.update(client_ca_file=str(tmp_path / "own.crt"), client_ca_key_file=str(tmp_path / "own.key"))
    said = local.play("app_servers", *words, status=2)
    # The sandbox's front closes the connection before its alert is sent, so the code is not client_cert_other_ca.
    assert "because its connection with the new files is not proved" in said
    assert files_below(controller.home) == before
    assert "canary" not in said
    shown = local.play("connection", *words)
    assert "sslkey certs/client.roach.key" in shown
    assert "Password" not in shown
    assert ":********@" not in shown
    assert "asks for the password" not in shown
    refused = local.play("app_servers", status=2)
    assert "is encrypted, but the run has no vault secret" in refused


@pytest.fixture
def vault(sandbox):
    certs = sandbox.state / "certs"
    root = x509.load_pem_x509_certificate((certs / "lone-badger-ca.crt").read_bytes())
    key = load_pem_private_key((certs / "lone-badger-ca.key").read_bytes(), None)
    server = Vault((root, key), (certs / "lone-badger-server.crt", certs / "lone-badger-server.key"))
    yield server
    server.close()


@pytest.mark.parametrize(
    "way",
    [*(pytest.param(way, marks=pytest.mark.thorough) for way in ("controller", "command", "files")), "vault"],
)
def test_the_role_alone_and_the_other_ways(controller, sandbox, tmp_path, way, vault):
    """A key that the controller makes, and certificates that others signed."""
    local = Local(controller, sandbox, tmp_path)
    local.play("app_servers")
    local.play("offboard")
    assert not local.certificate.exists()
    nothing = {"client_ca_file": None, "client_ca_key_file": None}
    if way == "controller":
        changed = {"client_key_made_on": "controller"}
    elif way == "files":
        pair = sandbox.clusters["lone-badger"].client_certificate
        changed = {**nothing, "client_cert_file": pair["sslcert"], "client_cert_key_file": pair["sslkey"]}
    elif way == "vault":
        # The token comes from a lookup, as in an inventory.
        token = tmp_path / "token"
        token.write_text(TOKEN)
        changed = {**nothing, "client_cert_vault": vault.url, "client_cert_vault_role": ROLE, "client_cert_lifetime": 9}
        changed["client_cert_vault_token"] = f"{{{{ lookup('ansible.builtin.file', '{token}') }}}}"
        changed["client_cert_vault_ca_file"] = str(sandbox.clusters["lone-badger"].ca_file)
    else:
        script = tmp_path / "sign.py"
        script.write_text(SIGNER.format(path=sys.path, ca=f"{local.ca}.crt", key=f"{local.ca}.key"))
        changed = {**nothing, "client_cert_command": f"{sys.executable} {script}", "client_cert_lifetime": 9}
    local.facts = {key: value for key, value in {**local.facts, **changed}.items() if value is not None}
    path = tmp_path / "role.yml"
    path.write_text("- hosts: localhost\n  gather_facts: false\n  roles:\n    - role: crdb.onboard.crdb_client_cert\n")
    for changes in (1, 0):
        done = controller.playbook(
            str(path), {"crdb_connections": {"shop": local.facts}, "crdb_apps": [local.app]}, "-vvvv"
        )
        assert done.status == 0, done.output
        assert done.recap()["changed"] == changes
        key = local.certificate.with_suffix(".key").read_text()
        assert key.splitlines()[1] not in done.output
    assert local.read.subject.rfc4514_string().startswith("CN=roach")
    if way == "vault":
        assert TOKEN not in done.output
        # One certificate, from a request: no private key went there.
        ((path, headers, body),) = vault.requests
        assert path == f"/v1/pki/sign/{ROLE}"
        assert headers["X-Vault-Token"] == TOKEN
        assert "PRIVATE" not in str(body)
        records = controller.home / ".local/state/crdb-onboard"
        seen = [path.read_text(errors="replace") for path in records.rglob("*") if path.is_file()]
        assert not any(TOKEN in text for text in [*seen, *map(str, files_below(controller.home).values())])
    if way in ("command", "vault"):
        assert (local.read.not_valid_after_utc - local.read.not_valid_before_utc).days in (9, 10)
    local.play("app_servers")
    local.play("offboard")
    assert not (controller.home / "shop").exists()
