# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PHP: Debian's packages, which are signed; PHP itself runs what hostile values were written as."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

PROGRAM = "php"
# Where each package is in PHP.
_CHECKS = {
    "ext-pdo_pgsql": "extension_loaded('pdo_pgsql')",
    "vlucas/phpdotenv": "stream_resolve_include_path('Dotenv/autoload.php')",
}
# What no value of a connection may have in it.
WITHOUT = ";"


def install(packages: Any, folder: Path, lock: bool, run: Callable[..., None]) -> None:
    """Look whether they are there: make system-deps installs them."""
    for name, _version in packages.pins:
        missing = f"fwrite(STDERR, 'no {name}: make system-deps'); exit(1);"
        run("php", "-r", f"if (!{_CHECKS[name]}) {{ {missing} }}", cwd=folder)


def sample(program: str, app: Path, environment: Mapping[str, str]) -> list[str]:
    """PHP reads it as it is."""
    return ["php", program]


# Every file as a namespace of its own, of which the settings are printed; its tokens tell what else is in it.
READER = """<?php
$uses = 'use PDO; use RuntimeException; use Throwable;';
$found = [];
foreach (json_decode(file_get_contents('php://stdin')) as $number => [$text, $url]) {
    putenv("DATABASE_URL=$url");
    $code = substr($text, 5);
    eval(preg_replace('/declare\\(strict_types=1\\);/', "namespace n$number; $uses", $code, 1));
    $method = new ReflectionMethod("n$number\\\\CrdbDatabase", 'settings');
    $method->setAccessible(true);
    $kinds = array_map(fn ($token) => is_array($token) ? $token[0] : $token, token_get_all($text));
    $found[] = [$method->invoke(null), md5(json_encode($kinds))];
}
echo json_encode($found);
"""
CHECKER = """<?php
foreach (json_decode(file_get_contents('php://stdin')) as $text) {
    token_get_all($text, TOKEN_PARSE);
}
"""


def right(choice: Any, made: Sequence[Any], scratch: Path, ask: Callable[..., str]) -> list[bool]:
    """Run by PHP: libpq reads the settings as the connection, and every set has the same kinds of tokens."""
    destination = choice.files[0].destination
    for name, text in (("reader.php", READER), ("checker.php", CHECKER)):
        (scratch / name).write_text(text)
    samples = [text for one in made for name, text in one.texts.items() if name != destination]
    ask(["php", str(scratch / "checker.php")], json.dumps(samples))
    urls = [one.connection.url() if choice.place == "env" else "" for one in made]
    pairs = [[one.texts[destination], url] for one, url in zip(made, urls, strict=True)]
    found = json.loads(ask(["php", str(scratch / "reader.php")], json.dumps(pairs)))
    right = []
    for one, ((dsn, user, password), kinds) in zip(made, found, strict=True):
        words = dsn.removeprefix("pgsql:").replace(";", " ")
        names = ("host", "port", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
        read = conninfo_to_dict(words)
        meant = conninfo_to_dict(one.connection.url())
        same = [read.get(name) == meant.get(name) for name in names]
        right.append(all(same) and (user, password) == (meant["user"], meant["password"]) and kinds == found[0][1])
    return right


LOADER = "require 'Dotenv/autoload.php'; echo json_encode(Dotenv\\Dotenv::parse(file_get_contents($argv[1])));"


def loaded(path: Path, folder: Path, ask: Callable[..., str]) -> Mapping[str, str]:
    """By phpdotenv."""
    return json.loads(ask(["php", "-r", LOADER, "--", str(path)]))
