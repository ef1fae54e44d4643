# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write what is generated: `make docs`.

An option is declared in the documentation of a module, or in a documentation fragment for what all roles share. From
there come the argument_specs and the missing defaults of the roles, the tables in their READMEs and in
docs/variables.md, and the list of declared variables. The check's catalogue gives the codes in docs/check.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "collections"))

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.notes import NOTES  # noqa: E402
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE  # noqa: E402
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options  # noqa: E402
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as catalogue  # noqa: E402
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema  # noqa: E402

BEGIN = "<!-- variables: written by make docs -->"
END = "<!-- end of the variables -->"
INPUTS = TOP / "roles" / "crdb_inputs"
ROLES = sorted(path for path in (TOP / "roles").iterdir() if path != INPUTS)
SHORTHANDS = {"connections": "crdb_connection_", "apps": "crdb_app_", "cloud": "crdb_cloud_"}
_SHARED = "The connections, the apps and the Cloud API come from the inputs of P(crdb.onboard.crdb_inputs#role)."
_OPTION = re.compile(r"^\{\{ *(?P<variable>crdb_\w+)")
_REFERENCE = re.compile(r"\bO\(([^)]*)\)")


class _Dumper(yaml.SafeDumper):
    """YAML that yamllint accepts: lists indented, texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """See PyYAML."""
        super().increase_indent(flow, False)


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _text(description: Any) -> str:
    text = " ".join(description) if isinstance(description, list) else str(description)
    return re.sub(r"[COVM]\(([^)]*)\)", r"`\1`", " ".join(text.split())).replace("|", "\\|")


def _named(description: Any, names: Mapping[str, str]) -> Any:
    """A description in which the options of a module carry the names of the variables that set them."""
    if isinstance(description, list):
        return [_named(line, names) for line in description]
    text = _REFERENCE.sub(lambda found: f"C({names.get(found[1].split('.')[-1], found[1])})", str(description))
    return re.sub(r"\bV\(", "C(", text)


def _entry(facts: Mapping[str, Any], name: str, names: Mapping[str, str], default: Any = None) -> dict[str, Any]:
    """A documented option as an entry of argument_specs."""
    entry = {"description": _named(facts["description"], names), "type": facts["type"]}
    if facts.get("elements"):
        entry["elements"] = facts["elements"]
    if schema.argument_spec({name: facts})[name].get("no_log"):
        entry["no_log"] = True
    if default is not None:
        entry["default"] = default
    return entry


def shared_specification() -> str:
    """The argument_specs of the role that reads what all roles share.

    Its entry point is not `main`: Ansible would validate it in one more task on every host. The modules do it too.
    """
    inputs = {
        "short_description": "The inputs that all roles share",
        "author": ["crdb.onboard authors"],
        "description": ["The other roles depend on this one, which has no tasks: it reads these variables for them."],
        "options": shared_inputs(),
    }
    return _dump({"argument_specs": {"inputs": inputs}})


def shared_inputs() -> dict[str, Any]:
    """The inputs that all roles share, as entries of argument_specs."""
    inputs: dict[str, Any] = {}
    for option, prefix in SHORTHANDS.items():
        keys = schema.keys(option)
        names = {option: f"crdb_{option}", **{key: f"{prefix}{key}" for key in keys}}
        if option != "cloud":
            inputs[f"crdb_{option}"] = _entry(schema.fragment(option)[option], option, {})
            inputs[f"crdb_{option}"].pop("elements", None) if option == "connections" else None
        for key, facts in keys.items():
            if (option, key) != ("apps", "frameworks"):
                inputs[f"{prefix}{key}"] = _entry(facts, key, names)
    inputs["crdb_frameworks"] = _entry(schema.keys("apps")["frameworks"], "frameworks", {})
    return dict(sorted(inputs.items(), key=lambda item: (item[0] not in ("crdb_connections", "crdb_apps"), item[0])))


def _tasks(node: Any) -> Iterator[dict[str, Any]]:
    """The tasks of a parsed file, those in blocks too."""
    for task in node or ():
        yield task
        for key in ("block", "rescue", "always"):
            yield from _tasks(task.get(key))


def role_tasks(role: Path) -> list[dict[str, Any]]:
    """All tasks of a role."""
    files = sorted((role / "tasks").glob("*.yml"))
    return [task for path in files for task in _tasks(yaml.safe_load(path.read_text(encoding="utf-8")))]


def _passed(role: Path) -> dict[str, tuple[str, str]]:
    """The role's variables that its tasks pass to a module: a module and its option, by variable."""
    registered = registers(role)
    passed: dict[str, tuple[str, str]] = {}
    for task in role_tasks(role):
        for name, arguments in task.items():
            if not name.startswith("crdb.onboard.") or not isinstance(arguments, dict):
                continue
            for option, value in arguments.items():
                match = _OPTION.match(str(value))
                variable = match["variable"] if match else ""
                if variable.startswith(f"{role.name}_") and variable not in registered:
                    passed.setdefault(variable, (name.removeprefix("crdb.onboard."), option))
    return passed


def registers(role: Path) -> set[str]:
    """The public variables that a role's tasks register."""
    names = {str(task.get("register", "")) for task in role_tasks(role)}
    return {name for name in names if name.startswith("crdb_")}


def _yaml(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def _dump(content: Any) -> str:
    return "---\n" + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def role_files(role: Path) -> dict[Path, str]:
    """The argument_specs and defaults of a role. Variables that no module takes are kept as they are."""
    specification, defaults = _yaml(role / "meta" / "argument_specs.yml"), _yaml(role / "defaults" / "main.yml")
    main = specification["argument_specs"]["main"]
    passed = _passed(role)
    own: dict[str, Any] = {}
    for variable in dict.fromkeys([*passed, *(name for name in main["options"] if name.startswith(f"{role.name}_"))]):
        if variable not in passed:
            if variable not in shared_inputs() and variable not in registers(role):
                own[variable] = main["options"][variable]
            continue
        module, option = passed[variable]
        facts = options.documented(module)[option]
        names = {name: other for other, (of, name) in passed.items() if of == module}
        if variable not in shared_inputs():
            defaults.setdefault(variable, facts.get("default"))
            own[variable] = _entry(facts, option, names, defaults[variable])
    main["options"] = own
    # Ansible validates what a role declares in every play and on every host, so what roles share is declared once.
    main["description"] = [line for line in main["description"] if line != _SHARED]
    if {"role": "crdb.onboard.crdb_inputs"} in _yaml(role / "meta" / "main.yml")["dependencies"]:
        main["description"].append(_SHARED)
    kept = {name: value for name, value in defaults.items() if name in own}
    return {
        role / "meta" / "argument_specs.yml": _dump(specification),
        role / "defaults" / "main.yml": _dump(kept) if kept else "---\n{}\n",
        role / "README.md": readme(role, own, kept),
    }


def table(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The Markdown table of a role's own variables."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, option in own.items():
        default = f"`{json.dumps(defaults[name])}`" if name in defaults else ""
        rows.append(f"| `{name}` | {option['type']} | {default} | {_text(option['description'])} |")
    shared = (
        "The connections and apps come from variables that all roles share: see [variables](../../docs/variables.md)."
    )
    return "\n".join([shared, "", *rows] if own else [shared])


def readme(role: Path, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The role's README with its table."""
    before, rest = (role / "README.md").read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table(own, defaults)}\n{END}{rest.split(END)[1]}"


def declared(specifications: list[dict[str, Any]]) -> str:
    """The names that variables with our prefixes may have: the roles' inputs, and what their tasks register."""
    entries = [entry for specification in specifications for entry in specification["argument_specs"].values()]
    names = {name for entry in entries for name in entry["options"]}
    for role in ROLES:
        names |= registers(role)
    names |= {
        "crdb_client_install",
        "crdb_inputs_all",
        "crdb_inputs_removal",
        "crdb_inputs_api",
        "crdb_inputs_connections",
        "crdb_inputs_apps",
        "crdb_inputs_clusters",
        "crdb_inputs_cloud",
    }
    # Each is one text, since Ansible evaluates a list of so many names in every task of every host.
    sources = {
        "prefixes": dict(SHORTHANDS),
        "wholes": {"connections": "crdb_connections", "apps": "crdb_apps"},
        "also": {"frameworks": "crdb_frameworks"},
        "every": ["samples"],
        "values": {
            "password_store": "crdb_sql_user_password_store",
            "echo": "crdb_network_echo",
            "echo_ca_file": "crdb_network_echo_ca_file",
        },
        "reserved": ", ".join(sorted({*SHORTHANDS.values(), *(f"{role.name}_" for role in ROLES)})),
        "declared": ", ".join(sorted(names)),
    }
    content = {"__crdb_inputs_sources": sources}
    return "---\n# Written by make docs.\n" + _dump(content).removeprefix("---\n")


def data_model() -> dict[str, str]:
    """The Markdown tables of docs/variables.md by name."""
    tables = {}
    for option in SHORTHANDS:
        rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        for key, facts in schema.keys(option).items():
            default = f"`{json.dumps(facts['default'])}`" if facts.get("default") not in (None, "") else ""
            rows.append(f"| `{key}` | {facts['type']} | {default} | {_text(facts['description'])} |")
        tables[option] = "\n".join(rows)
    return tables


def _with_tables(page: Path, tables: Mapping[str, str]) -> str:
    """A page with its generated tables replaced."""
    text = page.read_text(encoding="utf-8")
    for name, content in tables.items():
        begin, end = f"<!-- {name}: written by make docs -->", f"<!-- end of the {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    return text


def _sentence(text: str) -> str:
    words = re.sub(r"\{(\w+)\}", lambda found: found[1].replace("_", " ").upper(), text)
    return words.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def codes() -> str:
    """The Markdown table of the check's codes."""
    rows = ["| code | cause | cure |", "| --- | --- | --- |"]
    for code, entry in sorted(CATALOGUE.items()):
        forms: dict[tuple[str, str], list[str]] = {(entry.cause, entry.cure): []}
        for deployment, sentences in entry.per_deployment.items():
            forms.setdefault(sentences, []).append(deployment)
        columns = []
        for part in (0, 1):
            told: dict[str, list[str]] = {}
            for sentences, deployments in forms.items():
                told.setdefault(_sentence(sentences[part]), []).extend(deployments)
            columns.append(
                "<br>".join(
                    f"*{', '.join(deployments)}:* {text}" if deployments and number else text
                    for number, (text, deployments) in enumerate(told.items())
                )
            )
        rows.append(f"| `{code}` | {columns[0]} | {columns[1]} |")
    return "\n".join(rows)


def notes() -> str:
    """The Markdown table of the check's notes."""
    rows = ["| code | says |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| `{code}` | {_sentence(entry.text)} |" for code, entry in sorted(NOTES.items()))])


def _way(choices: Sequence[catalogue.Framework], able: Callable[[catalogue.Framework], str]) -> str:
    """What a framework's choices can do: one word where all are the same, else each that differs from the first."""
    words = {choice.label: able(choice) for choice in choices}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{label.partition(' ')[2] or label}: {word}" for label, word in words.items())


def ways(folder: Path = catalogue.CATALOGUE) -> str:
    """The Markdown table of frameworks by ways to log in, from each framework.yml."""
    rows = ["| framework | password | client certificate | token | why not |", "| --- | --- | --- | --- | --- |"]
    for framework in catalogue.load(folder).values():
        certificate = _way(framework.choices, lambda choice: "no" if choice.client_certificate == "none" else "yes")
        token = _way(framework.choices, lambda choice: {"callback": "yes"}.get(choice.token, "no"))
        reasons = dict.fromkeys(choice.token_reason for choice in framework.choices if choice.token_reason)
        rows.append(f"| {framework.title} | yes | {certificate} | {token} | {'; '.join(reasons)} |")
    return "\n".join(rows)


def pages() -> dict[Path, str]:
    """All generated files with their contents."""
    files: dict[Path, str] = {}
    for role in ROLES:
        files.update(role_files(role))
    files[INPUTS / "meta" / "argument_specs.yml"] = shared_specification()
    specifications = [yaml.safe_load(files[role / "meta" / "argument_specs.yml"]) for role in (*ROLES, INPUTS)]
    files[INPUTS / "vars" / "main" / "declared.yml"] = declared(specifications)
    files[TOP / "docs" / "variables.md"] = _with_tables(TOP / "docs" / "variables.md", data_model())
    files[TOP / "docs" / "login.md"] = _with_tables(TOP / "docs" / "login.md", {"ways": ways()})
    files[TOP / "docs" / "check.md"] = _with_tables(TOP / "docs" / "check.md", {"codes": codes(), "notes": notes()})
    return files


def main() -> None:
    """Write all of them; with --check only name those that are out of date."""
    stale = []
    for path, content in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            stale.append(str(path.relative_to(TOP)))
            if "--check" not in sys.argv:
                path.write_text(content, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date, run make docs: {', '.join(stale)}")


if __name__ == "__main__":
    main()
