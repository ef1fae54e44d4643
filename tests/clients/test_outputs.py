# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files for other programs, read by those programs or by their libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import parse_url

from tests.clients.matrix import _installed
from tests.conftest import Sandbox
from tests.integration.conftest import Controller, files_below

OUTPUTS = [name for name, framework in load().items() if framework.language == "output"]
POD = "/etc/crdb/ca.crt"


@pytest.fixture(scope="module")
def folder(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an app that has all of them, onboarded as a person does it."""
    home = tmp_path_factory.mktemp("outputs")
    controller = Controller(home)
    app: dict[str, Any] = {"name": "My_Shop", "folder": "~/shop", "frameworks": OUTPUTS}
    variables = {"crdb_connections": {"shop": sandbox.connections["funky_skunk"]}, "crdb_apps": [app]}
    run = controller.playbook("dev_machine", variables)
    assert run.status == 0, run.output
    again = controller.playbook("dev_machine", variables)
    assert again.recap()["changed"] == 0, again.output
    return home / "shop"


@pytest.fixture
def password(sandbox: Sandbox) -> str:
    """The password of the connection."""
    return str(sandbox.connections["funky_skunk"]["password"])


def connects(url: str, sandbox: Sandbox) -> None:
    """The URL leads to the same cluster as the inventory, with its CA where the other program has it."""
    found, wanted = parse_url(url), sandbox.clusters["funky-skunk"]
    assert (found.host, found.port, found.user, found.password) == (
        wanted.host, wanted.ports["inside"], wanted.user, wanted.password,
    )  # fmt: skip
    assert (found.sslmode, found.startup_options) == ("verify-full", f"--cluster={wanted.routing_id}")


def test_what_has_the_password_is_private(folder: Path, password: str) -> None:
    holders = {name for name, content in files_below(folder).items() if password.encode() in content}
    assert holders == {
        "kubernetes/crdb-secret.yml", "crdb.compose.env", "bindings/crdb/password", "bindings/crdb/uri",
        "bindings/crdb/jdbc-url",
    }  # fmt: skip
    assert {(folder / name).stat().st_mode & 0o777 for name in holders} == {0o600}


DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList", "groupVersion": "v1",
        "resources": [
            {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["create"]}
        ],
    },
}  # fmt: skip


class Discovery(BaseHTTPRequestHandler):
    """Says which kinds a Kubernetes server has: kubectl asks for that even when it sends nothing."""

    def do_GET(self) -> None:
        """Answer a question."""
        answer = json.dumps(DISCOVERY.get(self.path.partition("?")[0], {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[list[str]]:
    """kubectl, with a server that knows the kind Secret and takes none; skipped without it."""
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl on this machine: https://kubernetes.io/docs/tasks/tools/")
    with ThreadingHTTPServer(("127.0.0.1", 0), Discovery) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield [
            "kubectl", f"--server=http://127.0.0.1:{server.server_port}", f"--cache-dir={tmp_path}",
            "--kubeconfig=/dev/null",
        ]  # fmt: skip
        server.shutdown()


def test_kubectl_takes_the_secret(folder: Path, sandbox: Sandbox, kubectl: list[str]) -> None:
    words = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "kubernetes/crdb-secret.yml"]
    done = subprocess.run([*kubectl, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    secret = json.loads(done.stdout)
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "my-shop-0da13f-crdb")
    data = secret["stringData"]
    assert set(data) == {"DATABASE_URL", "JDBC_DATABASE_URL", "ca.crt"}
    connects(data["DATABASE_URL"], sandbox)
    assert parse_url(data["DATABASE_URL"]).sslrootcert == POD
    assert data["ca.crt"] == sandbox.clusters["funky-skunk"].ca_file.read_text()


def test_the_comment_of_the_secret_is_a_part_of_a_pod(folder: Path) -> None:
    lines = (folder / "kubernetes/crdb-secret.yml").read_text().splitlines()
    start = lines.index("# In the pod's template:") + 1
    pod = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[start:] if line.startswith("#")))
    container, volume = pod["containers"][0], pod["volumes"][0]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "my-shop-0da13f-crdb", "key": "DATABASE_URL"}
    assert (container["volumeMounts"][0]["name"], volume["name"]) == ("crdb", "crdb")
    assert f"{container['volumeMounts'][0]['mountPath']}/{volume['secret']['items'][0]['path']}" == POD


def test_pgadmin_has_libpqs_parameters_and_no_password(folder: Path, sandbox: Sandbox, password: str) -> None:
    server = json.loads((folder / "crdb-pgadmin.json").read_text())["Servers"]["1"]
    cluster = sandbox.clusters["funky-skunk"]
    assert (server["Host"], server["Port"], server["Username"]) == (cluster.host, cluster.ports["inside"], cluster.user)
    parameters = server["ConnectionParameters"]
    assert parameters["sslmode"] == "verify-full"
    assert parameters["sslrootcert"] == str(folder / "certs/ca.crt")
    assert parameters["options"] == f"--cluster={cluster.routing_id}"
    assert password not in json.dumps(server)


def test_dbeaver_and_datagrip_have_the_jdbc_url_without_the_password(folder: Path, password: str) -> None:
    connections = json.loads((folder / "dbeaver/data-sources-crdb.json").read_text())["connections"]
    text = (folder / "crdb-datagrip.xml").read_text()
    start, end = text.index("#BEGIN#") + len("#BEGIN#"), text.index("#END#")
    source = ET.fromstring(text[start:end])  # noqa: S314 - our own text
    urls = [connections["crdb-My_Shop"]["configuration"]["url"], source.findtext("jdbc-url") or ""]
    assert urls[0] == urls[1]
    assert "sslmode=verify-full" in urls[0]
    assert f"sslrootcert={str(folder / 'certs/ca.crt').replace('/', '%2F')}" in urls[0]
    assert password not in "".join(urls)


def reader(language: str) -> Path:
    """Where the library that reads a file is; skipped where its language or a registry is missing."""
    facts = _installed("outputs")["outputs", "", language]
    if facts["missing"] or facts["error"]:
        pytest.skip(f"no reader: {facts['error'] or facts['missing'] + ' is missing (make system-deps)'}")
    return Path(facts["folder"])


COMPOSE = """package main

import (
    "encoding/json"
    "os"

    "github.com/compose-spec/compose-go/v2/dotenv"
)

func main() {
    values, err := dotenv.Read(os.Args[1])
    if err != nil {
        panic(err)
    }
    _ = json.NewEncoder(os.Stdout).Encode(values)
}
"""


def test_compose_reads_the_environment(folder: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    library = reader("go")
    for name in ("go.mod", "go.sum"):
        shutil.copy(library / name, tmp_path / name)
    (tmp_path / "main.go").write_text(COMPOSE)
    words = ["go", "run", "-mod=readonly", ".", str(folder / "crdb.compose.env")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) == {"DATABASE_URL", "JDBC_DATABASE_URL"}
    connects(values["DATABASE_URL"], sandbox)
    assert parse_url(values["DATABASE_URL"]).sslrootcert == POD
    # docker run --env-file takes all behind the first = as it is.
    lines = [line for line in (folder / "crdb.compose.env").read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == values


def test_the_comment_for_compose_mounts_the_ca(folder: Path) -> None:
    lines = [line for line in (folder / "crdb.compose.env").read_text().splitlines() if line.startswith("#")]
    service = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[2:]))["services"]["yours"]
    assert service["env_file"] == "crdb.compose.env"
    source, target, _mode = service["volumes"][0].split(":")
    assert (folder / source).is_file()
    assert target == POD


def test_a_python_program_reads_the_binding(folder: Path, sandbox: Sandbox) -> None:
    python = reader("python") / "venv" / "bin" / "python"
    text = "import json, pyservicebinding.binding as b; print(json.dumps(b.ServiceBinding().bindings('postgresql')))"
    environment = {"SERVICE_BINDING_ROOT": str(folder / "bindings"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([python, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    cluster = sandbox.clusters["funky-skunk"]
    assert {name: found[name] for name in ("host", "port", "username", "password", "options", "provider")} == {
        "host": cluster.host, "port": str(cluster.ports["inside"]), "username": cluster.user,
        "password": cluster.password, "options": f"--cluster={cluster.routing_id}", "provider": "cockroachdb",
    }  # fmt: skip
    connects(found["uri"], sandbox)
    assert found["sslrootcert"] == parse_url(found["uri"]).sslrootcert == "/bindings/crdb/ca.crt"
    # The library strips what it reads.
    assert found["ca.crt"] == cluster.ca_file.read_text().strip()


SPRING = """import java.util.Map;
import java.util.TreeMap;
import org.springframework.cloud.bindings.Bindings;
import org.springframework.cloud.bindings.boot.PostgreSqlBindingsPropertiesProcessor;
import org.springframework.core.env.StandardEnvironment;

public class Read {
    public static void main(String[] words) {
        Map<String, Object> properties = new TreeMap<>();
        new PostgreSqlBindingsPropertiesProcessor().process(new StandardEnvironment(), new Bindings(), properties);
        properties.forEach((name, value) -> System.out.println(name + "=" + value));
    }
}
"""


def test_spring_boot_reads_the_binding(folder: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, sorted((reader("java") / "jars").glob("*.jar"))))
    (tmp_path / "Read.java").write_text(SPRING)
    environment = {**os.environ, "SERVICE_BINDING_ROOT": str(folder / "bindings")}
    words = ["java", "-cp", path, "Read.java"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    cluster = sandbox.clusters["funky-skunk"]
    assert (found["spring.datasource.username"], found["spring.datasource.password"]) == (
        cluster.user,
        cluster.password,
    )
    url, _mark, query = found["spring.datasource.url"].partition("?")
    assert url == f"jdbc:postgresql://{cluster.host}:{cluster.ports['inside']}/defaultdb"
    parameters = parse_qs(query)
    assert parameters["sslmode"] == ["verify-full"]
    assert parameters["sslrootcert"] == ["/bindings/crdb/ca.crt"]
    assert parameters["options"] == [f"--cluster={cluster.routing_id}"]
