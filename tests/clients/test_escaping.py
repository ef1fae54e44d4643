# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile values in every place: each language's own parser reads them back, and finds nothing else in the file."""

from __future__ import annotations

import ast
import atexit
import base64
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnectionError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import files, literals, templates

from tests.clients import languages
from tests.clients.matrix import ALL, Cell, installed, loaders, toolchain

TOKENS = [
    *"'\"`\\%$#{}()[]<>&|;:,.?!*/+-=@~^_ \t\n\r\v\f\x01\x1b\x7f\x85\xa0\u2028\u2029\ufeff\u00e9\u00df\u20ac\U0001f600",
    *(
        "${HOME}",
        "$(id)",
        "#{1+1}",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "<%= 1 %>",
        "<% x",
        "%>",
        "\\u0041",
        "\\n",
        "\\",
        "\\\\",
    ),
    *(
        "*/",
        "//",
        "--",
        "-->",
        "]]>",
        "<!--",
        "&amp;",
        "&#x41;",
        "%41",
        "%%",
        "</script>",
        "'''",
        '"""',
        "0",
        "7",
        "u0041",
    ),
    *("__END__", "=begin", ": ", " #", "- ", "!ruby/object", "${x:-y}", "`id`", "\\x41", "\\101", "null", "true", "~"),
]
COUNT = 10_000


def hostile(count, seed=20261121):
    """Texts of one to eight nasty pieces, always the same ones."""
    chooser = random.Random(seed)  # noqa: S311 - test data
    texts = ["".join(chooser.choices(TOKENS, k=chooser.randint(1, 8))) for _number in range(count - len(TOKENS))]
    return TOKENS + texts


def ask(words, program=None, cwd=None, env=None):
    """What a program prints."""
    if not shutil.which(words[0]):
        pytest.skip(f"there is no {words[0]} on this machine (make system-deps installs the toolchains)")
    done = subprocess.run(words, input=program, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def from_units(lines):
    """Texts that were printed as hexadecimal UTF-16 units, so that no encoding of a console is in the way."""
    return [bytes.fromhex(line).decode("utf-16-be") for line in lines.split("\n")[:-1]]


PRINT_UNITS = """
    static void print(String text) {
        StringBuilder line = new StringBuilder();
        for (char unit : text.toCharArray()) { line.append(String.format("%04x", (int) unit)); }
        System.out.print(line.append('\\n'));
    }
"""


class TestLiterals:
    """Ten thousand values in each kind of literal."""

    values = hostile(COUNT)

    def test_python(self):
        assert ast.literal_eval(f"[{','.join(map(literals.python_literal, self.values))}]") == self.values

    def test_javascript(self):
        sources = ",".join(map(literals.javascript_literal, self.values))
        assert json.loads(ask(["node", "-"], f"console.log(JSON.stringify([{sources}]))")) == self.values

    def test_json(self):
        sources = ",\n".join(map(literals.json_literal, self.values))
        program = "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8'))))"
        assert json.loads(ask(["node", "-e", program], f"[{sources}]")) == self.values

    def test_yaml_and_erb(self):
        text = "".join(f"- {literals.yaml_literal(value)}\n" for value in self.values)
        assert yaml.safe_load(text) == self.values
        program = "require 'erb'; require 'json'; require 'yaml'; puts YAML.load(ERB.new(STDIN.read).result).to_json"
        assert json.loads(ask(["ruby", "-e", program], text)) == self.values

    def test_ruby(self):
        sources = ",\n".join(map(literals.ruby_literal, self.values))
        assert json.loads(ask(["ruby", "-"], f'require "json"\nputs [{sources}].to_json\n')) == self.values

    def test_go(self, tmp_path):
        sources = ",\n".join(map(literals.go_literal, self.values))
        (tmp_path / "main.go").write_text(
            'package main\nimport (\n"encoding/json"\n"os"\n)\nfunc main() {\n'
            f"_ = json.NewEncoder(os.Stdout).Encode([]string{{\n{sources},\n}})\n}}\n"
        )
        assert json.loads(ask(["go", "run", "main.go"], cwd=tmp_path)) == self.values

    def test_java(self, tmp_path):
        # A method and a class have limits of their own: some classes with some methods.
        classes = []
        for number in range(0, COUNT, 1000):
            methods = []
            for start in range(number, number + 1000, 200):
                lines = "".join(f"Main.print({literals.java_literal(v)});\n" for v in self.values[start : start + 200])
                methods.append(f"static void m{start}() {{\n{lines}}}\n")
            calls = "".join(f"m{start}();" for start in range(number, number + 1000, 200))
            classes.append(f"class C{number} {{\n{''.join(methods)}static void all() {{ {calls} }}\n}}\n")
        calls = "".join(f"C{number}.all();" for number in range(0, COUNT, 1000))
        main = f"public class Main {{{PRINT_UNITS}public static void main(String[] words) {{ {calls} }}}}\n"
        (tmp_path / "Main.java").write_text(main + "".join(classes))
        assert from_units(ask(["java", "Main.java"], cwd=tmp_path)) == self.values

    def test_properties_and_xml_as_java_reads_them(self, tmp_path):
        able = [value for value in self.values if not any(ord(c) < 32 and c not in "\t\n\r" for c in value)]
        lines = "".join(f"k{n}={literals.properties_value(value)}\n" for n, value in enumerate(self.values))
        (tmp_path / "x.properties").write_text(lines)
        items = "".join(f"<v>{literals.xml_text(value)}</v>" for value in able)
        (tmp_path / "x.xml").write_text(f"<a>{items}</a>")
        (tmp_path / "Main.java").write_text(f"""
            public class Main {{{PRINT_UNITS}
                public static void main(String[] words) throws Exception {{
                    java.util.Properties properties = new java.util.Properties();
                    properties.load(new java.io.FileInputStream("x.properties"));
                    for (int n = 0; n < properties.size(); n++) {{ print(properties.getProperty("k" + n)); }}
                    org.w3c.dom.NodeList items = javax.xml.parsers.DocumentBuilderFactory.newInstance()
                        .newDocumentBuilder().parse(new java.io.File("x.xml")).getElementsByTagName("v");
                    for (int n = 0; n < items.getLength(); n++) {{ print(items.item(n).getTextContent()); }}
                }}
            }}""")
        assert from_units(ask(["java", "Main.java"], cwd=tmp_path)) == self.values + able

    def test_java_arguments(self, tmp_path):
        values = [value for value in self.values if "\ufeff" not in value]
        properties = {f"k{number}": value for number, value in enumerate(values)}
        (tmp_path / "x.args").write_bytes(files.java_arguments(properties, title="x\ny"))
        (tmp_path / "Main.java").write_text(f"""
            public class Main {{{PRINT_UNITS}
                public static void main(String[] words) {{
                    for (int n = 0; n < {len(values)}; n++) {{ print(System.getProperty("k" + n)); }}
                }}
            }}""")
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        assert from_units(ask(["java", "@x.args", "Main.java"], cwd=tmp_path, env=environment)) == values

    def test_what_xml_cannot_hold_is_refused(self):
        with pytest.raises(OnboardingError, match="XML cannot represent a control character"):
            literals.xml_text("a\x01b")

    def test_comments_end_with_their_line(self):
        for value in self.values:
            comment = literals.comment_text(value)
            assert comment.isascii()
            assert comment.isprintable()
            assert "*/" not in comment
            assert "--" not in comment


@dataclass(frozen=True)
class Hostile:
    """What is put into a template: decoded texts, and a folder and a key in the middle of paths."""

    user: str
    password: str
    database: str
    folder: str
    key: str

    @property
    def ca_path(self):
        """The CA's path."""
        return f"/srv/{self.folder}/ca.crt"

    def source(self, choice):
        """The connection, with a client certificate where the framework presents one. Raises what refuses it."""
        facts = {
            "deployment": "self_hosted", "host": "db.example.com", "user": self.user, "password": self.password,
            "database": "defaultdb" if choice.variant in BARE else self.database, "ca_text": "unused",
        }  # fmt: skip
        if choice.client_certificate != "none":
            facts.update(sslcert=f"/{self.key}/client.crt", sslkey=f"/{self.key}/client.key")
        source = connections.source("db", facts)
        source.connection.replace(sslrootcert=self.ca_path)
        return source


# Their reader does not decode the database's name: another one than a plain one is refused.
BARE = ("xml", "env")
COUNT_HERE = COUNT if os.environ.get(ALL) else 200
# Found once, and shrunk: what broke a template, or what two readers took for two things.
CASES = [
    Hostile("u", "\\", "d", "a", "b"),
    Hostile("u", "'", "d", "a", "b"),
    Hostile("u", "\u2028", "d", "a", "b"),
    Hostile("u", "<%= 1 %>", "d", "a", "b"),
    Hostile("u", "p", "\ufeff", "a", "b"),
    Hostile("u", "p", "d", "*/", "\x85"),
    Hostile("u", "p", "d", "#{1+1}", "\\u0041"),
    Hostile("u", "p", "d", "--", "]]>"),
]


@cache
def hostile_sets(count):
    """The cases that are kept, and as many new ones, always the same, as make `count`."""
    chooser = random.Random(count)  # noqa: S311 - test data
    values, made = hostile(count * 4), list(CASES)
    while len(made) < count:
        letters = "".join(chooser.choices("abzA0_-.\u00e9\u00df\u03b1\u0438", k=chooser.randint(1, 8)))
        candidate = Hostile(f"u{letters}", *chooser.choices(values, k=4))
        try:
            for choice in (CHOICES[0], XML):
                candidate.source(choice)
        except (InvalidConnectionError, OnboardingError):
            continue
        made.append(candidate)
    return made


CHOICES = [
    replace(choice, place=place, choices=())
    for newest in _catalogue.load().values()
    for choice in newest.choices
    for place in choice.places
]
XML = next(choice for choice in CHOICES if choice.variant == "xml")
NAMES = ["shop", "x.y-z"]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n"


@dataclass(frozen=True)
class Made:
    """What was rendered of one set: by destination, and the connection that is in it."""

    hostile: Hostile
    connection: object
    texts: dict[str, str]


def make(choice: Framework, hostile_set: Hostile, number: int = 0) -> Made:
    """All files of a choice; its samples, which hold the app's name only, for each name once."""
    app = App(NAMES[number % 2], hostile_set.source(choice), "/srv", "", "", (choice,), ".env")
    # Of what a role writes only PEM gets here; the variant in quotes is not asked for more.
    text = PEM if choice.variant == "env" else f"CA {hostile_set.ca_path}"
    values = templates.framework_values(app, choice, hostile_set.ca_path, text)
    choice_files = (*choice.files, *(choice.samples if number < len(NAMES) else ()))
    return Made(
        hostile_set,
        values["connection"],
        {file.destination: templates.render(choice, file, values).decode() for file in choice_files},
    )


NODE_READER = """
const path = require('path'), vm = require('vm');
const pairs = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(pairs.map(([code, url]) => {
  process.env.DATABASE_URL = url;
  const text = code.replace('export default', 'module.exports =');
  const traps = { get: () => stub(), construct: () => ({}) };
  const stub = () => new Proxy(class {}, traps);
  const fake = (what) => ({ 'node:fs': { readFileSync: (name) => name }, 'node:path': path })[what] ?? stub();
  const found = '({ url: databaseUrl(), parts: typeof databaseOptions === "function" ? databaseOptions() : null })';
  const program = `(function (require, module, __dirname) {${text}\\n;return ${found};})`;
  return vm.runInThisContext(program)(fake, {}, '/');
})));
"""
NODE_PARSER = """
const vm = require('vm');
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const code of texts) {
  const text = code.replace('export default', 'module.exports =');
  new vm.Script(`(async function (require, module, __dirname) {${text}\\n})`);
}
"""
NODE_DOTENV = """
const { parse } = require('dotenv');
console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8')).map((text) => parse(text))));
"""
RUBY_READER = """
require "json"
found = JSON.parse(STDIN.read).map do |text, url|
  ENV["DATABASE_URL"] = url
  holder = Module.new
  holder.module_eval(text.sub('require "pg"', ""), "/srv/crdb_database.rb")
  holder::CrdbDatabase.url
end
puts found.to_json
"""
RUBY_PARSER = """
require "json"
JSON.parse(STDIN.read).each { |text| RubyVM::InstructionSequence.compile(text) }
"""
ERB_READER = """
require "erb"; require "json"; require "yaml"
found = JSON.parse(STDIN.read).map do |text, url|
  ENV["DATABASE_URL"] = url
  YAML.unsafe_load(ERB.new(text).result)["production"]["url"]
end
puts found.to_json
"""
GO_READER = """package main
import ("encoding/json"; "go/ast"; "go/parser"; "go/token"; "os"; "strconv")
func main() {
    var texts []string
    _ = json.NewDecoder(os.Stdin).Decode(&texts)
    found := [][]string{}
    for _, text := range texts {
        file, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.AllErrors)
        if err != nil { panic(err) }
        literals := []string{}
        ast.Inspect(file, func(node ast.Node) bool {
            if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
                text, _ := strconv.Unquote(literal.Value)
                literals = append(literals, text)
            }
            return true
        })
        found = append(found, literals)
    }
    _ = json.NewEncoder(os.Stdout).Encode(found)
}
"""
JAVA_READER = """
import com.sun.source.tree.*; import com.sun.source.util.*; import java.net.URI; import java.util.*;
import javax.tools.*;
public class Reader {PRINT_UNITS
    static class Text extends SimpleJavaFileObject {
        final String text;
        Text(String text) { super(URI.create("string:///X.java"), Kind.SOURCE); this.text = text; }
        @Override public CharSequence getCharContent(boolean ignored) { return text; }
    }
    public static void main(String[] words) throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null);
        try (Scanner input = new Scanner(System.in, "US-ASCII")) {
            while (input.hasNextLine()) {
                String text = new String(Base64.getDecoder().decode(input.nextLine()), "UTF-8");
                DiagnosticCollector<JavaFileObject> wrong = new DiagnosticCollector<>();
                JavacTask task = (JavacTask) compiler.getTask(null, files, wrong, null, null, List.of(new Text(text)));
                for (CompilationUnitTree unit : task.parse()) {
                    new TreeScanner<Void, Void>() {
                        public Void visitLiteral(LiteralTree tree, Void unused) {
                            if (tree.getValue() instanceof String) { print((String) tree.getValue()); }
                            return null;
                        }
                    }.scan(unit, null);
                }
                if (!wrong.getDiagnostics().isEmpty()) { throw new Exception(wrong.getDiagnostics().toString()); }
                System.out.println("=");
            }
        }
    }
}
""".replace("PRINT_UNITS", PRINT_UNITS)
PROPERTIES_READER = """
import java.util.*;
public class Reader {PRINT_UNITS
    public static void main(String[] words) throws Exception {
        try (Scanner input = new Scanner(System.in, "US-ASCII")) {
            while (input.hasNextLine()) {
                byte[] text = Base64.getDecoder().decode(input.nextLine());
                Properties found = new Properties();
                found.load(new java.io.ByteArrayInputStream(text));
                print(found.getProperty("url")); print(found.getProperty("user")); print(found.getProperty("password"));
                if (found.size() != 3) { throw new Exception(found.toString()); }
            }
        }
    }
}
""".replace("PRINT_UNITS", PRINT_UNITS)


def encoded(texts):
    """Lines of base64, for a reader whose standard input has no other framing."""
    return "".join(f"{base64.b64encode(text.encode()).decode()}\n" for text in texts)


def right_json(choice, made, scratch):
    """ormconfig.json and ormconfig.yml: the keys, decoded, and no others."""
    found = []
    for one in made:
        text, connection = one.texts[choice.files[0].destination], one.connection
        keys = yaml.safe_load(text)["default"] if choice.variant == "yml" else json.loads(text)
        found.append(
            keys
            == {
                "type": "cockroachdb",
                "host": connection.host,
                "port": connection.port,
                "username": connection.user,
                "password": connection.password,
                "database": connection.startup_database,
                "ssl": {"ca": f"CA {one.hostile.ca_path}"},
                "maxTransactionRetries": 0,
            }
        )
    return found


def right_dotenv(choice, made, scratch):
    """ormconfig.env, by the loader that TypeORM brings along."""
    facts = installed_folder(choice)
    environment = {**os.environ, **toolchain(choice, facts)["environment"]}
    texts = json.dumps([one.texts["ormconfig.env"] for one in made])
    found = json.loads(ask(["node", "-e", NODE_DOTENV], texts, env=environment))
    return [
        keys
        == {
            "TYPEORM_CONNECTION": "cockroachdb",
            "TYPEORM_URL": one.connection.url(query="none"),
            "TYPEORM_DRIVER_EXTRA": keys["TYPEORM_DRIVER_EXTRA"],
        }
        and json.loads(keys["TYPEORM_DRIVER_EXTRA"]) == {"ssl": {"ca": PEM}}
        for keys, one in zip(found, made, strict=True)
    ]


def right_xml(choice, made, scratch):
    """ormconfig.xml and hibernate.cfg.xml: the URL, and no other elements."""
    found = []
    for one in made:
        if choice.name == "hibernate":
            tree = ET.fromstring(one.texts["hibernate.cfg.xml"])  # noqa: S314 - our own text
            held = {item.get("name"): item.text for item in tree.iter("property")}
            inline = choice.place == "inline"
            url = one.connection.jdbc_url() if inline else None
            found.append(held.pop("hibernate.connection.url", None) == url and len(held) == (8 if inline else 5))
        else:
            tree = ET.fromstring(one.texts["ormconfig.xml"])  # noqa: S314 - our own text
            tags = ["orm-configuration", "connection", "url", "extra", "ssl", "logging"]
            held = [item.tag for item in tree.iter()]
            found.append(held == tags and tree.findtext("connection/url") == one.connection.url(query="none"))
    if choice.name == "hibernate":
        java_literals([text for one in made for name, text in one.texts.items() if name.endswith(".java")], scratch)
    return found


PYTHON_DRIVERS = (
    *("asyncpg", "playhouse", "playhouse.cockroachdb", "psycopg", "psycopg.conninfo", "psycopg2"),
    *("psycopg2.extensions", "psycopg_pool"),
)


def right_python(choice, made, scratch):
    """Run as Python: what it makes of the connection, which is in the environment or in the file."""
    found, fakes = [], {name: MagicMock() for name in PYTHON_DRIVERS}
    fakes["psycopg2.extensions"].parse_dsn.return_value = {"dbname": "d"}
    pool = {"connect_timeout": 15, "keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 10}
    pool["keepalives_count"] = 3
    for one in made:
        tree = ast.parse(one.texts[choice.files[0].destination])
        for name in one.texts:
            ast.parse(one.texts[name])
        kept = {"DATABASE_URL": one.connection.url()} if choice.place == "env" else {}
        with patch.dict(sys.modules, fakes), patch.dict(os.environ, kept), patch("ssl.create_default_context"):
            # Modules of ours are run as they are meant to be: the fakes stand for the drivers only.
            names = {"__file__": "/srv/x.py", "__name__": "x"}
            exec(compile(tree, "x.py", "exec"), names)  # noqa: S102
            if choice.name == "django":
                settings = names["DATABASES"]["default"]
                connection = one.connection
                found.append(
                    settings
                    == {
                        "ENGINE": "django_cockroachdb",
                        "NAME": connection.startup_database,
                        "USER": connection.user,
                        "PASSWORD": connection.password,
                        "HOST": connection.host,
                        "PORT": str(connection.port),
                        "CONN_MAX_AGE": 900,
                        "CONN_HEALTH_CHECKS": True,
                        "OPTIONS": {**pool, **templates.driver_options(connection)},
                        "TEST": {"NAME": f"test_{connection.startup_database}"},
                    }
                )
            else:
                found.append(names["database_url"]() == one.connection.url())
    return found


ALEMBIC_READER = """
import json, os, sys
from alembic.config import Config
from sqlalchemy import make_url
found = []
for text, url in json.load(sys.stdin):
    os.environ["DATABASE_URL"] = url
    names = {"__file__": "/srv/x.py", "__name__": "x"}
    exec(compile(text, "x.py", "exec"), names)
    config = Config()
    config.set_main_option("sqlalchemy.url", names["sqlalchemy_url"]())
    read = make_url(config.get_section(config.config_ini_section)["sqlalchemy.url"])
    found.append([read.drivername, read.get_dialect()().create_connect_args(read)[1]])
print(json.dumps(found))
"""


def right_alembic(choice, made, scratch):
    """Run with Alembic and SQLAlchemy, which read the URL back from the configuration that env.py has."""
    destination = choice.files[0].destination
    given = [one.connection.url() if choice.place == "env" else "postgresql://other" for one in made]
    pairs = list(zip([one.texts[destination] for one in made], given, strict=True))
    python = str(installed_folder(choice) / "venv" / "bin" / "python")
    own = {"connect_timeout": "15", "keepalives": "1", "keepalives_idle": "60", "keepalives_interval": "10"}
    own["keepalives_count"] = "3"
    wanted = []
    for connection in (one.connection for one in made):
        parts = {"host": connection.host, "port": connection.port, "dbname": connection.startup_database}
        parts |= {"user": connection.user, "password": connection.password}
        parts |= {**own, **templates.driver_options(connection)}
        wanted.append([f"cockroachdb+{choice.variant}", parts])
    found = json.loads(ask([python, "-c", ALEMBIC_READER], json.dumps(pairs)))
    return [one == right for one, right in zip(found, wanted, strict=True)]


SQLALCHEMY_READER = """
import json, os, ssl, sys
from unittest.mock import MagicMock
ssl.create_default_context = MagicMock()
found = []
for text, url in json.load(sys.stdin):
    os.environ["DATABASE_URL"] = url
    names = {"__file__": "/srv/x.py", "__name__": "x"}
    exec(compile(text, "x.py", "exec"), names)
    engine = getattr(names["engine"], "sync_engine", names["engine"])
    parts = engine.dialect.create_connect_args(engine.url)[1]
    if "_connect_args" in names:
        parts |= names["_connect_args"](names["_url"].query)["server_settings"]
    found.append({name: value for name, value in parts.items() if isinstance(value, (str, int))})
print(json.dumps(found))
"""


def right_sqlalchemy(choice, made, scratch):
    """Run with SQLAlchemy itself: what the engine gives to the driver, without its own arguments."""
    destination = choice.files[0].destination
    given = [one.connection.url() if choice.place == "env" else "postgresql://other" for one in made]
    pairs = list(zip([one.texts[destination] for one in made], given, strict=True))
    python = str(installed_folder(choice) / "venv" / "bin" / "python")
    files = ("sslmode", "sslrootcert", "sslcert", "sslkey") if choice.variant == "asyncpg" else ()
    wanted = []
    for connection in (one.connection for one in made):
        name = "database" if choice.variant == "asyncpg" else "dbname"
        parts = {"host": connection.host, "port": connection.port, name: connection.startup_database}
        parts |= {"user": connection.user, "password": connection.password}
        wanted.append(parts | {k: v for k, v in templates.driver_options(connection).items() if k not in files})
    found = json.loads(ask([python, "-c", SQLALCHEMY_READER], json.dumps(pairs)))
    own = ("prepared_statement_cache_size", "prepared_statement_name_func", "context")
    return [
        {name: value for name, value in one.items() if name not in own} == right
        for one, right in zip(found, wanted, strict=True)
    ]


def right_javascript(choice, made, scratch):
    """Run as JavaScript: the URL and, where the client needs separate keys, what is made of it."""
    destination = choice.files[0].destination
    pairs = [(one.texts[destination], one.connection.url()) for one in made]
    if choice.place == "inline":
        pairs = [(text, "postgresql://other") for text, _url in pairs]
    samples = [text for one in made for name, text in one.texts.items() if name != destination]
    ask(["node", "-e", NODE_PARSER], json.dumps(samples))
    found = json.loads(ask(["node", "-e", NODE_READER], json.dumps(pairs)))
    right = []
    for one, what in zip(made, found, strict=True):
        connection, parts = one.connection, what["parts"]
        ssl = {"ca": one.hostile.ca_path, "cert": connection.sslcert, "key": connection.sslkey}
        wanted = {
            "host": connection.host, "port": connection.port, "username": connection.user, "ssl": ssl,
            "password": connection.password, "database": connection.startup_database,
        }  # fmt: skip
        right.append(what["url"] == connection.url() and parts in (None, wanted))
    return right


def right_ruby(choice, made, scratch):
    """Run as Ruby, or by ERB and YAML."""
    destination = choice.files[0].destination
    scheme = "cockroachdb" if choice.name == "activerecord" else "postgresql"
    urls = [one.connection.url(scheme) for one in made]
    given = urls if choice.place == "env" else ["postgresql://other"] * len(urls)
    pairs = list(zip([one.texts[destination] for one in made], given, strict=True))
    samples = [text for one in made for name, text in one.texts.items() if name != destination]
    ask(["ruby", "-e", RUBY_PARSER], json.dumps(samples))
    reader = ERB_READER if choice.name == "activerecord" else RUBY_READER
    found = json.loads(ask(["ruby", "-e", reader], json.dumps(pairs)))
    return [one == url for one, url in zip(found, urls, strict=True)]


def right_go(choice, made, scratch):
    """Parsed as Go: the URL is a literal where it is inline, and the number of literals is always the same."""
    (scratch / "reader.go").write_text(GO_READER)
    texts = [text for one in made for text in one.texts.values()]
    found = iter(json.loads(ask(["go", "run", "reader.go"], json.dumps(texts), cwd=scratch)))
    return right_literals(choice, made, [[next(found) for _text in one.texts] for one in made])


@cache
def compiled(source, class_path=""):
    """The folder with the class of a reader, which is compiled once for all choices."""
    folder = Path(tempfile.mkdtemp(prefix="crdb-reader-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "Reader.java").write_text(source)
    ask(["javac", "-proc:none", "-cp", class_path, "-d", str(folder), str(folder / "Reader.java")])
    return folder


def run_reader(source, texts, scratch, class_path="", **environment):
    """What a reader prints of texts, which it gets as lines of base64."""
    path = os.pathsep.join(filter(None, [str(compiled(source, class_path)), class_path]))
    return ask(["java", "-cp", path, "Reader"], encoded(texts), cwd=scratch, env={**os.environ, **environment})


def java_literals(texts, scratch):
    """The string literals of Java sources."""
    printed = run_reader(JAVA_READER, texts, scratch)
    # A source may have no literal, and a literal may be empty.
    return [from_units(part) for part in printed.split("=\n")[:-1]]


def right_java(choice, made, scratch):
    """Parsed as Java, as Go is."""
    found = iter(java_literals([text for one in made for text in one.texts.values()], scratch))
    return right_literals(choice, made, [[next(found) for _text in one.texts] for one in made])


def right_literals(choice, made, literals_by_form):
    """Whether the URL is among the literals of the first file just where it is inline, and nothing else came in."""
    number = len(literals_by_form[0][0])
    return [
        (expected(choice, one.connection) in held[0]) == (choice.place == "inline") and len(held[0]) == number
        for one, held in zip(made, literals_by_form, strict=True)
    ]


def expected(choice, connection):
    """The connection string of a language."""
    return connection.jdbc_url() if choice.language == "java" else connection.url()


def right_properties(choice, made, scratch):
    """crdb.properties, by java.util.Properties."""
    printed = run_reader(PROPERTIES_READER, [one.texts["crdb.properties"] for one in made], scratch)
    values = from_units(printed)
    wanted = [
        (one.connection.jdbc_url(password="omitted"), one.connection.user, one.connection.password) for one in made
    ]
    return [tuple(values[3 * n : 3 * n + 3]) == wanted[n] for n in range(len(made))]


SPRING_READER = """
import java.util.*;
public class Reader {PRINT_UNITS
    public static void main(String[] words) throws Exception {
        try (Scanner input = new Scanner(System.in, "US-ASCII")) {
            while (input.hasNextLine()) {
                Properties found = new Properties();
                found.load(new java.io.ByteArrayInputStream(Base64.getDecoder().decode(input.nextLine())));
                print(new TreeMap<>(found).toString());
            }
        }
    }
}
""".replace("PRINT_UNITS", PRINT_UNITS)
HIKARI = {
    **{"maximum-pool-size": 10, "minimum-idle": 10, "max-lifetime": 900000, "keepalive-time": 60000},
    "connection-timeout": 15000,
    "data-source-properties": {"connectTimeout": 15, "loginTimeout": 15, "tcpKeepAlive": True},
}
SPRING = {
    "spring": {
        "datasource": {
            "url": "${JDBC_DATABASE_URL}", "driver-class-name": "org.postgresql.Driver", "hikari": HIKARI,
        },
        "jpa": {"database-platform": "org.hibernate.dialect.CockroachDialect"},
    },
    "logging": {"level": {"org.hibernate.orm.connections.pooling": "warn"}},
}  # fmt: skip


def flat(tree, prefix=""):
    """The keys of properties that mean the same as a tree."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else str(value)


def right_spring(choice, made, scratch):
    """crdb.properties and crdb.yml of Spring Boot: these keys and no others, and nothing of the connection."""
    if choice.variant == "yml":
        return [yaml.safe_load(one.texts["crdb.yml"]) == SPRING for one in made]
    printed = run_reader(SPRING_READER, [one.texts["crdb.properties"] for one in made], scratch)
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(flat(SPRING)))
    return [text == f"{{{wanted}}}" for text in from_units(printed)]


FLYWAY_READER = """
import java.io.StringReader; import java.util.*; import org.flywaydb.core.internal.configuration.ConfigUtils;
public class Reader {PRINT_UNITS
    public static void main(String[] words) throws Exception {
        try (Scanner input = new Scanner(System.in, "US-ASCII")) {
            while (input.hasNextLine()) {
                String text = new String(Base64.getDecoder().decode(input.nextLine()), "UTF-8");
                print(new TreeMap<>(ConfigUtils.loadConfigurationFromReader(new StringReader(text))).toString());
            }
        }
    }
}
""".replace("PRINT_UNITS", PRINT_UNITS)


def right_flyway(choice, made, scratch):
    """flyway.conf, as Flyway itself reads it: the URL, nothing else of the connection, and the driver's settings."""
    jars = os.pathsep.join(map(str, sorted(installed_folder(choice).glob("jars/*.jar"))))
    other = "jdbc:postgresql://other/d?user=u&password=p"
    texts = [one.texts["flyway.conf"] for one in made]
    values = from_units(run_reader(FLYWAY_READER, texts, scratch, jars, JDBC_DATABASE_URL=other))
    settings = {"connectTimeout": "15", "loginTimeout": "15", "tcpKeepAlive": "true"}
    own = ", ".join(f"flyway.jdbcProperties.{name}={value}" for name, value in settings.items())
    urls = [one.connection.jdbc_url() if choice.place == "inline" else other for one in made]
    return [value == f"{{{own}, flyway.url={url}}}" for value, url in zip(values, urls, strict=True)]


def right_liquibase(choice, made, scratch):
    """Liquibase's two files, by java.util.Properties, which it reads both with: no password where the URL is."""
    files = ("liquibase.properties", "liquibase.driver.properties")
    printed = run_reader(SPRING_READER, [one.texts[name] for one in made for name in files], scratch)
    values = from_units(printed)
    wanted = []
    for connection in (one.connection for one in made):
        driver = {"user": connection.user, "password": connection.password, "connectTimeout": "15"}
        driver |= {"loginTimeout": "15", "tcpKeepAlive": "true"}
        own = {"url": connection.jdbc_url(password="omitted"), "driverPropertiesFile": files[1]}
        wanted.append(["{" + ", ".join(f"{k}={v}" for k, v in sorted(keys.items())) + "}" for keys in (own, driver)])
    return [values[2 * n : 2 * n + 2] == keys for n, keys in enumerate(wanted)]


def right_secret(choice, made, scratch):
    """The manifest: the connection strings, and the CA's text where it is a key of it."""
    verdicts = []
    for one in made:
        key = {"ca.crt": f"CA {one.hostile.ca_path}"} if choice.variant == "secret-with-ca" else {}
        wanted = {"DATABASE_URL": one.connection.url(), "JDBC_DATABASE_URL": one.connection.jdbc_url(), **key}
        verdicts.append(yaml.safe_load(one.texts["kubernetes/crdb-secret.yml"])["stringData"] == wanted)
    return verdicts


def right_compose(choice, made, scratch):
    """Lines that are taken as they are, whatever is in them."""
    wanted = [("DATABASE_URL", "url"), ("JDBC_DATABASE_URL", "jdbc_url")]
    return [
        [line for line in one.texts["crdb.compose.env"].split("\n") if line and not line.startswith("#")]
        == [f"{name}={getattr(one.connection, form)()}" for name, form in wanted]
        for one in made
    ]


def right_binding(choice, made, scratch):
    """Files that hold one value each, as it is."""
    verdicts = []
    for one in made:
        found = {name.removeprefix("bindings/crdb/"): text for name, text in one.texts.items()}
        connection = one.connection
        wanted = {
            "type": "postgresql", "provider": "cockroachdb", "host": connection.host, "port": str(connection.port),
            "database": connection.startup_database, "username": connection.user, "password": connection.password,
            "uri": connection.url(), "jdbc-url": connection.jdbc_url(), "sslmode": connection.sslmode,
            "sslrootcert": connection.sslrootcert, "options": connection.startup_options or "",
        }  # fmt: skip
        verdicts.append({name: found.get(name) for name in wanted} == wanted and set(found) == {*wanted, "ca.crt"})
    return verdicts


def right_pgadmin(choice, made, scratch):
    """pgAdmin's file: libpq's parameters, decoded."""
    verdicts = []
    for one in made:
        server = json.loads(one.texts["crdb-pgadmin.json"])["Servers"]["1"]
        wanted = {"Host": one.connection.host, "Port": one.connection.port, "Username": one.connection.user}
        parameters = {**templates.driver_options(one.connection), "connect_timeout": 15}
        verdicts.append(
            {name: server[name] for name in wanted} == wanted
            and server["MaintenanceDB"] == one.connection.startup_database
            and server["ConnectionParameters"] == parameters
        )
    return verdicts


def right_dbeaver(choice, made, scratch):
    """DBeaver's file: the URL without the password."""
    found = [json.loads(one.texts["dbeaver/data-sources-crdb.json"])["connections"] for one in made]
    return [
        [entry["configuration"]["url"] for entry in connections.values()] == [one.connection.jdbc_url("omitted")]
        for connections, one in zip(found, made, strict=True)
    ]


def right_datagrip(choice, made, scratch):
    """DataGrip's file: the URL, with the password only where it is asked for."""
    password = "encoded" if choice.place == "inline" else "omitted"
    texts = [one.texts["crdb-datagrip.xml"] for one in made]
    sources = [
        ET.fromstring(text.partition("#BEGIN#")[2].partition("#END#")[0])  # noqa: S314 - our own text
        for text in texts
    ]
    return [
        source.findtext("jdbc-url") == one.connection.jdbc_url(password)
        for source, one in zip(sources, made, strict=True)
    ]


READERS: dict[str, Callable[[Framework, Sequence[Made], Path], list[bool]]] = {
    "typeorm json": right_json,
    "typeorm yml": right_json,
    "typeorm env": right_dotenv,
    "typeorm xml": right_xml,
    "hibernate": right_xml,
    "jdbc properties": right_properties,
    "spring-boot": right_spring,
    "flyway conf": right_flyway,
    "liquibase properties": right_liquibase,
    "kubernetes": right_secret,
    "compose": right_compose,
    "servicebinding": right_binding,
    "pgadmin": right_pgadmin,
    "dbeaver": right_dbeaver,
    "datagrip": right_datagrip,
    "alembic": right_alembic,
    "sqlalchemy": right_sqlalchemy,
    "python": right_python,
    "javascript": right_javascript,
    "ruby": right_ruby,
    "go": right_go,
    "java": right_java,
}


def installed_folder(choice):
    """The folder with the packages of a choice."""
    facts = installed([Cell(choice, "dedicated")])[choice.name, choice.versions, choice.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    return Path(facts["folder"])


def first_wrong(right, sets):
    """The first set that is not read back as it was meant; None when all are."""
    try:
        verdicts = right(sets)
    except Exception:
        # The reader gave up on the whole batch.
        if len(sets) == 1:
            return sets[0]
        middle = len(sets) // 2
        return first_wrong(right, sets[:middle]) or first_wrong(right, sets[middle:])
    return next((one for one, verdict in zip(sets, verdicts, strict=True) if not verdict), None)


PLAIN = Hostile("u", "p", "d", "a", "b")


def shrunk(right, wrong):
    """The smallest set that is still wrong: each text made plain where it can be, else as short as can be."""
    for field in ("user", "password", "database", "folder", "key"):
        candidate = replace(wrong, **{field: getattr(PLAIN, field)})
        if first_wrong(right, [candidate]):
            wrong = candidate
            continue
        place = 0
        while place < len(text := getattr(wrong, field)):
            candidate = replace(wrong, **{field: text[:place] + text[place + 1 :]})
            if len(text) > 1 and first_wrong(right, [candidate]):
                wrong = candidate
            else:
                place += 1
    return wrong


def reading(choice, scratch):
    """What tells of each set whether the language's own parser reads it back as it was meant."""
    names = (f"{choice.name} {choice.variant}", choice.name, choice.language)
    reader = next((READERS[name] for name in names if name in READERS), None)
    if reader is None:
        own = languages.find(choice.language)
        taken = getattr(own, "WITHOUT", "")

        def able(one):
            """The set without what the language's clients refuse."""
            kept = {name: getattr(one, name) for name in ("database", "folder", "key")}
            return replace(one, **{name: text.replace(taken, "_") if taken else text for name, text in kept.items()})

        return lambda sets: own.right(choice, [make(choice, able(one), n) for n, one in enumerate(sets)], scratch, ask)
    return lambda sets: reader(choice, [make(choice, one, number) for number, one in enumerate(sets)], scratch)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.label}-{choice.place}".replace(" ", ""))
def test_every_template_is_read_back_as_it_was_meant(choice, tmp_path):
    right = reading(choice, tmp_path)
    wrong = first_wrong(right, hostile_sets(COUNT_HERE))
    if wrong:
        case = shrunk(right, wrong)
        # What the reader itself says of it.
        assert right([case]) == [True], f"keep this as a case: {case}"


def test_what_is_wrong_is_found_and_shrunk(tmp_path, monkeypatch):
    choice = next(choice for choice in CHOICES if choice.name == "django" and choice.place == "inline")
    filters = templates._environment(_catalogue.CATALOGUE).filters
    monkeypatch.setitem(filters, "python", lambda value: f'"{value}"')
    right = reading(choice, tmp_path)
    wrong = first_wrong(right, [PLAIN, PLAIN, replace(PLAIN, password='xy"z', database="more")])
    assert shrunk(right, wrong) == replace(PLAIN, password='"')


@pytest.mark.parametrize("variant", BARE)
def test_a_database_that_a_reader_does_not_decode_is_refused(variant):
    choice = next(choice for choice in CHOICES if choice.variant == variant)
    source = connections.source(
        "db",
        {"deployment": "self_hosted", "host": "h", "user": "u", "password": "p", "database": "a b", "ca_text": "x"},
    )
    app = App("shop", source, "/srv", "", "", (choice,), ".env")
    with pytest.raises(OnboardingError, match="this form cannot contain such a name"):
        templates.render(choice, choice.files[0], templates.framework_values(app, choice, "/ca", PEM))


@pytest.fixture(scope="module")
def environment_files(tmp_path_factory):
    """An environment file with every set's connection strings, and what it means."""
    connections = [
        one.source(CHOICES[0]).connection.replace(sslrootcert=one.ca_path) for one in hostile_sets(COUNT_HERE)
    ]
    values = {f"U{number:05}": connection.url() for number, connection in enumerate(connections)}
    values |= {f"J{number:05}": connection.jdbc_url() for number, connection in enumerate(connections)}
    path = tmp_path_factory.mktemp("environment") / "all.env"
    path.write_bytes(files.environment_file(values, title="x"))
    return path, values


def read_by_shell(shell, path, names):
    """What a shell makes of it: the values of these names, which are too many for one environment."""
    program = '. "$1"\n' + "".join(f"printf '%s\\n' \"${name}\"\n" for name in names)
    printed = ask(["env", "-i", shutil.which(shell) or shell, "-s", "-", str(path)], program)
    return dict(zip(names, printed.splitlines(), strict=True))


def read_by_systemd(path):
    """systemd's parser of environment files, by its generator for environment.d, which prints what it read."""
    generator = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
    folder = path.parent / "environment.d"
    folder.mkdir()

    def read():
        printed = ask(["env", "-i", f"XDG_CONFIG_HOME={path.parent}", "HOME=/nonexistent", generator])
        return dict(line.split("=", 1) for line in printed.splitlines())

    # What the machine has of its own.
    before = read()
    shutil.copy(path, folder / "all.conf")
    # It prints for a shell: in double quotes where it has to.
    return {name: shlex.split(f"{value} ")[0] for name, value in read().items() if name not in before}


def read_by_loader(language, path, folder):
    """The language's own loader of environment files."""
    if language == "python":
        program = "import dotenv, json, sys\nprint(json.dumps(dotenv.dotenv_values(sys.argv[1])))"
        return json.loads(ask([str(folder / "venv" / "bin" / "python"), "-c", program, str(path)]))
    if language == "javascript":
        program = "console.log(JSON.stringify(require('dotenv').parse(require('fs').readFileSync(process.argv[1]))))"
        environment = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
        return json.loads(ask(["node", "-e", program, str(path)], env=environment))
    if language == "node":
        program = (
            "console.log(JSON.stringify(require('util').parseEnv(require('fs').readFileSync(process.argv[1], 'utf8'))))"
        )
        return json.loads(ask(["node", "-e", program, str(path)]))
    if language == "ruby":
        program = 'require "dotenv"; require "json"; puts Dotenv::Parser.call(File.read(ARGV[0])).to_json'
        return json.loads(ask(["ruby", "-e", program, str(path)]))
    if language == "go":
        for name in ("go.mod", "go.sum"):
            shutil.copy(folder / name, path.parent / name)
        (path.parent / "main.go").write_text(
            'package main\nimport (\n"encoding/json"\n"os"\n"github.com/joho/godotenv"\n)\nfunc main() {\n'
            "found, err := godotenv.Read(os.Args[1])\nif err != nil { panic(err) }\n"
            "_ = json.NewEncoder(os.Stdout).Encode(found)\n}\n"
        )
        return json.loads(ask(["go", "run", "main.go", str(path)], cwd=path.parent))
    if languages.find(language):
        return languages.call(language, "loaded", path, folder, ask)
    (path.parent / "Main.java").write_text("""
        import io.github.cdimascio.dotenv.*;
        public class Main {
            public static void main(String[] words) {
                Dotenv found = Dotenv.configure().directory(words[0]).filename(words[1]).load();
                for (DotenvEntry entry : found.entries(Dotenv.Filter.DECLARED_IN_ENV_FILE)) {
                    System.out.println(entry.getKey() + "=" + entry.getValue());
                }
            }
        }""")
    jars = os.pathsep.join(map(str, sorted(folder.glob("jars/*.jar"))))
    printed = ask(["java", "-cp", jars, str(path.parent / "Main.java"), str(path.parent), path.name])
    return dict(line.split("=", 1) for line in printed.splitlines())


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_environment_file_as_a_shell_reads_it(environment_files, shell):
    path, values = environment_files
    assert read_by_shell(shell, path, list(values)) == values


def test_the_environment_file_as_systemd_reads_it(environment_files):
    path, values = environment_files
    assert read_by_systemd(path) == values


LOADING = [name for name in languages.names() if hasattr(languages.find(name), "loaded")]


@pytest.mark.parametrize("language", ["python", "javascript", "node", "ruby", "go", "java", *LOADING])
def test_the_environment_file_as_the_languages_loader_reads_it(environment_files, language):
    path, values = environment_files
    folder = Path(loaders(language)["folder"]) if language != "node" else Path()
    assert read_by_loader(language, path, folder) == values
