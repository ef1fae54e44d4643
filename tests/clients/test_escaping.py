# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile values in every place: each language's own parser reads them back, and finds nothing else in the file."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.module_utils._connection import InvalidConnection
from ansible_collections.crdb.onboard.plugins.plugin_utils import _catalogue, _onboarding, _render
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

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


def ask(words, program=None, cwd=None):
    """What a program prints."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]} on this machine (make system-deps installs the toolchains)")
    done = subprocess.run(words, input=program, capture_output=True, text=True, cwd=cwd, check=False)
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
        assert ast.literal_eval(f"[{','.join(map(_render.python_literal, self.values))}]") == self.values

    def test_javascript(self):
        literals = ",".join(map(_render.javascript_literal, self.values))
        assert json.loads(ask(["node", "-"], f"console.log(JSON.stringify([{literals}]))")) == self.values

    def test_json(self):
        literals = ",\n".join(map(_render.json_literal, self.values))
        program = "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8'))))"
        assert json.loads(ask(["node", "-e", program], f"[{literals}]")) == self.values

    def test_yaml_and_erb(self):
        text = "".join(f"- {_render.yaml_literal(value)}\n" for value in self.values)
        assert yaml.safe_load(text) == self.values
        program = "require 'erb'; require 'json'; require 'yaml'; puts YAML.load(ERB.new(STDIN.read).result).to_json"
        assert json.loads(ask(["ruby", "-e", program], text)) == self.values

    def test_ruby(self):
        literals = ",\n".join(map(_render.ruby_literal, self.values))
        assert json.loads(ask(["ruby", "-"], f'require "json"\nputs [{literals}].to_json\n')) == self.values

    def test_go(self, tmp_path):
        literals = ",\n".join(map(_render.go_literal, self.values))
        (tmp_path / "main.go").write_text(
            'package main\nimport (\n"encoding/json"\n"os"\n)\nfunc main() {\n'
            f"_ = json.NewEncoder(os.Stdout).Encode([]string{{\n{literals},\n}})\n}}\n"
        )
        assert json.loads(ask(["go", "run", "main.go"], cwd=tmp_path)) == self.values

    def test_java(self, tmp_path):
        # A method and a class have limits of their own: some classes with some methods.
        classes = []
        for number in range(0, COUNT, 1000):
            methods = []
            for start in range(number, number + 1000, 200):
                lines = "".join(f"Main.print({_render.java_literal(v)});\n" for v in self.values[start : start + 200])
                methods.append(f"static void m{start}() {{\n{lines}}}\n")
            calls = "".join(f"m{start}();" for start in range(number, number + 1000, 200))
            classes.append(f"class C{number} {{\n{''.join(methods)}static void all() {{ {calls} }}\n}}\n")
        calls = "".join(f"C{number}.all();" for number in range(0, COUNT, 1000))
        main = f"public class Main {{{PRINT_UNITS}public static void main(String[] words) {{ {calls} }}}}\n"
        (tmp_path / "Main.java").write_text(main + "".join(classes))
        assert from_units(ask(["java", "Main.java"], cwd=tmp_path)) == self.values

    def test_properties_and_xml_as_java_reads_them(self, tmp_path):
        able = [value for value in self.values if not any(ord(c) < 32 and c not in "\t\n\r" for c in value)]
        lines = "".join(f"k{n}={_render.properties_value(value)}\n" for n, value in enumerate(self.values))
        (tmp_path / "x.properties").write_text(lines)
        items = "".join(f"<v>{_render.xml_text(value)}</v>" for value in able)
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

    def test_what_xml_cannot_hold_is_refused(self):
        with pytest.raises(OnboardingError, match="no form for a control character"):
            _render.xml_text("a\x01b")

    def test_comments_end_with_their_line(self):
        for value in self.values:
            comment = _render.comment_text(value)
            assert comment.isascii()
            assert comment.isprintable()
            assert "*/" not in comment
            assert "--" not in comment


def connections(count):
    """Apps whose password, database and paths are hostile."""
    made = []
    chooser = random.Random(count)  # noqa: S311 - test data
    values = hostile(count * 4)
    while len(made) < count:
        password, database, folder, key = chooser.choices(values, k=4)
        facts = {
            "url": None, "deployment": "self_hosted", "host": "db.example.com", "user": f"u{len(made)}.a-b_c",
            "password": password, "database": database, "ca_text": "unused",
        }  # fmt: skip
        try:
            source = _onboarding.source("db", facts)
            source.connection.replace(sslrootcert=f"/srv/{folder}/ca.crt", sslcert="/c", sslkey=f"/{key}.key")
        except (InvalidConnection, OnboardingError):
            continue
        made.append((source, f"/srv/{folder}/ca.crt"))
    return made


CHOICES = [
    replace(choice, place=place, choices=())
    for newest in _catalogue.load().values()
    for choice in newest.choices
    for place in choice.places
]
SETS = connections(250)
NAMES = ["shop", "x.y-z"]


def rendered(choice, folder):
    """All configurations of a choice, one folder a set, with what they were made of."""
    for number, (source, ca_path) in enumerate(SETS):
        app = _onboarding.App(NAMES[number % 2], source, "/srv", "", "", (choice,), ".env")
        try:
            values = _render.framework_values(app, choice, ca_path, f"CA {ca_path}")
            for file in (*choice.files, *choice.samples):
                path = folder / str(number) / file.destination
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_render.render(choice, file, values))
        except OnboardingError:
            # Refused, not changed: the two forms whose reader does not decode the database's name.
            if choice.variant not in ("xml", "env"):
                raise
            shutil.rmtree(folder / str(number), ignore_errors=True)
            continue
        yield number, values["connection"]


def expected(choice, connection):
    """What the file has to hold, decoded."""
    return connection.jdbc_url() if choice.language == "java" else connection.url()


NODE_READER = """
const fs = require('fs'), path = require('path'), vm = require('vm');
const names = JSON.parse(fs.readFileSync(0, 'utf8'));
console.log(JSON.stringify(names.map((name) => {
  const text = fs.readFileSync(name, 'utf8').replace('export default', 'module.exports =');
  const traps = { get: () => stub(), construct: () => ({}) };
  const stub = () => new Proxy(class {}, traps);
  const fake = (what) => ({ 'node:fs': { readFileSync: () => '' }, 'node:path': path })[what] ?? stub();
  const program = `(function (require, module, __dirname) {${text}\\n;return databaseUrl();})`;
  return vm.runInThisContext(program)(fake, {}, '/');
})));
"""
RUBY_READER = """
require "json"
puts JSON.parse(STDIN.read).map { |name| m = Module.new; m.module_eval(File.read(name)); m::CrdbDatabase.url }.to_json
"""
ERB_READER = """
require "erb"; require "json"; require "yaml"
texts = JSON.parse(STDIN.read).map { |name| ERB.new(File.read(name)).result }
puts texts.map { |text| YAML.unsafe_load(text)["production"]["url"] }.to_json
"""
GO_READER = """package main
import ("encoding/json"; "go/ast"; "go/parser"; "go/token"; "os"; "strconv")
func main() {
    var names []string
    _ = json.NewDecoder(os.Stdin).Decode(&names)
    found := [][]string{}
    for _, name := range names {
        file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.AllErrors)
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
import com.sun.source.tree.*; import com.sun.source.util.*; import java.util.*; import javax.tools.*;
public class Reader {PRINT_UNITS
    public static void main(String[] words) throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null);
        List<String> names = new ArrayList<>();
        try (Scanner input = new Scanner(System.in)) { while (input.hasNextLine()) { names.add(input.nextLine()); } }
        for (String name : names) {
            DiagnosticCollector<JavaFileObject> wrong = new DiagnosticCollector<>();
            Iterable<? extends JavaFileObject> sources = files.getJavaFileObjects(name);
            JavacTask task = (JavacTask) compiler.getTask(null, files, wrong, null, null, sources);
            for (CompilationUnitTree unit : task.parse()) {
                new TreeScanner<Void, Void>() {
                    public Void visitLiteral(LiteralTree tree, Void unused) {
                        if (tree.getValue() instanceof String) { print((String) tree.getValue()); }
                        return null;
                    }
                }.scan(unit, null);
            }
            if (!wrong.getDiagnostics().isEmpty()) { throw new Exception(wrong.getDiagnostics().toString()); }
            System.out.println();
        }
    }
}
""".replace("PRINT_UNITS", PRINT_UNITS)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.label}-{choice.place}".replace(" ", ""))
def test_every_template_is_read_back_as_it_was_meant(choice, tmp_path):
    made = dict(rendered(choice, tmp_path))
    assert len(made) >= (1 if choice.variant in ("xml", "env") else len(SETS))
    wanted = [expected(choice, connection) for connection in made.values()]
    inline = choice.place == "inline"
    first = choice.files[-1].destination
    names = [str(tmp_path / str(number) / first) for number in made]
    programs = [str(tmp_path / str(number) / f.destination) for number in made for f in choice.samples]
    if choice.variant in ("json", "yml"):
        for name, connection in zip(names, made.values(), strict=True):
            with open(name, encoding="utf-8") as stream:  # noqa: PTH123
                found = yaml.safe_load(stream)["default"] if choice.variant == "yml" else json.load(stream)
            keys = ("host", "username", "password", "database")
            kept = (connection.host, connection.user, connection.password, connection.startup_database)
            assert tuple(found[key] for key in keys) == kept
            assert found["ssl"] == {"ca": f"CA {connection.sslrootcert}"}
            assert set(found) - {*keys, "ssl"} == {"type", "port", "maxTransactionRetries"}
    elif choice.name == "hibernate":
        for number, text in zip(made, wanted, strict=True):
            tree = ET.parse(tmp_path / str(number) / "hibernate.cfg.xml")  # noqa: S314 - our own text
            found = {item.get("name"): item.text for item in tree.iter("property")}
            assert found.get("hibernate.connection.url") == (text if inline else None)
            assert len(found) == 2 + inline
    elif choice.language == "python":
        for name, connection, text in zip(names, made.values(), wanted, strict=True):
            tree = ast.parse(open(name, "rb").read())  # noqa: PTH123, SIM115
            found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            if inline and choice.name == "django":
                assert {connection.password, connection.startup_database, connection.sslrootcert} <= set(found)
            else:
                assert (text in found) == inline
        for name in programs:
            ast.parse(open(name, "rb").read())  # noqa: PTH123, SIM115
    elif choice.language == "javascript" and inline and choice.variant not in ("xml", "env"):
        assert json.loads(ask(["node", "-e", NODE_READER], json.dumps(names))) == wanted
    elif choice.language == "ruby" and inline:
        reader = ERB_READER if choice.name == "activerecord" else RUBY_READER
        found = json.loads(ask(["ruby", "-e", reader], json.dumps(names)))
        assert found == [text.replace("postgresql", "cockroachdb", 1) for text in wanted] if "ERB" in reader else wanted
    elif choice.language == "go":
        (tmp_path / "reader.go").write_text(GO_READER)
        found = json.loads(ask(["go", "run", "reader.go"], json.dumps(names + programs), cwd=tmp_path))
        assert [text in literals for text, literals in zip(wanted, found, strict=False)] == [inline] * len(wanted)
        assert len({len(literals) for literals in found[: len(names)]}) == 1
    elif choice.language == "java" and first.endswith(".java"):
        (tmp_path / "Reader.java").write_text(JAVA_READER)
        printed = ask(["java", "Reader.java"], "".join(f"{name}\n" for name in names), cwd=tmp_path)
        found = [from_units(part + "\n") if part else [] for part in printed.removesuffix("\n\n").split("\n\n")]
        assert [text in literals for text, literals in zip(wanted, found, strict=True)] == [inline] * len(wanted)
        assert len({len(literals) for literals in found}) == 1


def test_the_environment_file_as_a_shell_and_dotenv_read_it(tmp_path):
    urls = [source.connection.replace(sslrootcert=path).url() for source, path in connections(2000)]
    path = tmp_path / "all.env"
    path.write_bytes(_render.environment_file({f"V{n:05}": url for n, url in enumerate(urls)}, title="x"))
    shown = 'set -a; . "$1"; exec env -0'
    printed = ask(["env", "-i", "sh", "-c", shown, "sh", str(path)])
    found = dict(pair.split("=", 1) for pair in printed.split("\0") if pair.startswith("V0"))
    assert [found[f"V{n:05}"] for n in range(len(urls))] == urls
