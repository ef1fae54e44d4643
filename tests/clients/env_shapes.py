# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shapes of environment files as people write them, and what each means: to the writer, to the check, to every loader.

`docs/variables.md` has the rule in words: a file is UTF-8 without a byte order mark, a name stands once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

URL = "postgresql://ann:p%40ss%27w%22rd@db.example.com:26257/shop?sslmode=verify-full&options=--cluster%3Dred-otter-1"
NAME = "DATABASE_URL"
REFUSED = "refused"
"""In place of a value: the file is refused before a byte is written, and the check says so."""
ABSENT = ""


@dataclass(frozen=True)
class Shape:
    """An environment file.

    Args:
        title: what is special about it.
        content: the bytes.
        value: what DATABASE_URL is in it; ABSENT, or REFUSED.
        loaders: what loaders make of it that do not agree, by their names: python-dotenv, node, godotenv, dotenv-java,
            dotenv-ruby, sh. A loader that is not listed has to find `value`.
    """

    title: str
    content: bytes
    value: str = URL
    loaders: dict[str, str] = field(default_factory=dict)


def _text(title: str, text: str, value: str = URL, **loaders: str) -> Shape:
    return Shape(title, text.encode("utf-8"), value, {name.replace("_", "-"): found for name, found in loaders.items()})


SHAPES = (
    _text("double quotes", f'{NAME}="{URL}"\n'),
    _text("single quotes", f"{NAME}='{URL}'\n"),
    _text("no quotes", f"{NAME}={URL}\n", sh=ABSENT),
    _text("no line end at the end", f'{NAME}="{URL}"'),
    _text("export and double quotes", f'export {NAME}="{URL}"\n', dotenv_java=ABSENT),
    _text("export and single quotes", f"export {NAME}='{URL}'\n", dotenv_java=ABSENT),
    _text("export without quotes", f"export {NAME}={URL}\n", sh=ABSENT, dotenv_java=ABSENT),
    _text("blanks around the sign", f'{NAME} = "{URL}"\n', sh=ABSENT),
    _text("blanks around the sign, no quotes", f"{NAME} = {URL}\n", sh=ABSENT),
    _text("a blank after the sign", f'{NAME}= "{URL}"\n', sh=ABSENT),
    _text("blanks before the name", f'  {NAME}="{URL}"\n'),
    _text("a tab before the name", f'\t{NAME}="{URL}"\n', node=ABSENT),
    _text("blanks at the end", f'{NAME}="{URL}"  \n'),
    _text("blanks at the end, no quotes", f"{NAME}={URL}  \n", sh=ABSENT),
    _text("a comment behind double quotes", f'{NAME}="{URL}" # the shop\n'),
    _text("a comment behind single quotes", f"{NAME}='{URL}' # the shop's\n"),
    _text("a comment behind no quotes", f"{NAME}={URL} # the shop\n", sh=ABSENT),
    _text("comments and empty lines around it", f'# mine\n\n{NAME}="{URL}"\n\n# end\n'),
    _text("line ends of Windows", f'A=1\r\n{NAME}="{URL}"\r\nB=2\r\n', sh=ABSENT),
    _text("line ends of Windows, no quotes", f"A=1\r\n{NAME}={URL}\r\n", sh=ABSENT),
    _text("other names first", f'A=1\nB="two words"\n{NAME}="{URL}"\n'),
    _text("a name that ends the same", f'OTHER_{NAME}="x"\n{NAME}="{URL}"\n'),
    _text("a name that begins the same", f'{NAME}_OLD="x"\n{NAME}="{URL}"\n'),
    _text("a name in lower case is another one", f'database_url="x"\n{NAME}="{URL}"\n'),
    _text("a commented line", f'# {NAME}="x"\n{NAME}="{URL}"\n'),
    _text("only a commented line", f'# {NAME}="{URL}"\n', ABSENT),
    _text("a value of several lines before it", f'KEY="-----BEGIN\nabc=\n-----END"\n{NAME}="{URL}"\n'),
    _text("an empty value before it", f'A=\n{NAME}="{URL}"\n'),
    _text("an equals sign in another value", f'A="b=c"\n{NAME}="{URL}"\n'),
    _text("letters of other scripts in another value", f'GREETING="grüße ☕"\n{NAME}="{URL}"\n'),
    _text("a hash in another quoted value", f'A="b # c"\n{NAME}="{URL}"\n'),
    _text("the same line twice", f'{NAME}="{URL}"\n{NAME}="{URL}"\n'),
    _text("an empty value", f'{NAME}=""\n', ABSENT),
    _text("an empty value, no quotes", f"{NAME}=\n", ABSENT),
    _text("no such name", "A=1\n", ABSENT),
    Shape("an empty file", b"", ABSENT),
    Shape("UTF-16 with a mark", f'{NAME}="{URL}"\n'.encode("utf-16"), REFUSED),
    Shape("UTF-16 without a mark", f'{NAME}="{URL}"\n'.encode("utf-16-le"), REFUSED),
    Shape("a byte order mark", f'{NAME}="{URL}"\n'.encode("utf-8-sig"), REFUSED),
    Shape("a comment in Latin-1", b"# caf\xe9\n" + f'{NAME}="{URL}"\n'.encode(), REFUSED),
    _text("two different values", f'{NAME}="postgresql://first"\n{NAME}="{URL}"\n', REFUSED),
    _text("a quote that never ends", f'{NAME}="{URL}\n', REFUSED),
)
