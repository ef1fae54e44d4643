# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unpack an archive of the client safely: only the vendor's layout, nothing outside its folder, with limits.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import gzip
import io
import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from ansible_collections.crdb.onboard.plugins.module_utils._client.download import check_free_space
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError

UNPACKED_LIMIT = 3 * 1024**3
MEMBER_LIMIT = 10000
_BLOCK = 256 * 1024


class _LimitedStream(io.RawIOBase):
    """An unpacked stream up to a limit of bytes: a small archive can hold any number of zeros."""

    def __init__(self, stream: IO[bytes], limit: int, name: str) -> None:
        super().__init__()
        self._stream, self._left, self._name = stream, limit, name

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(min(size, _BLOCK) if size >= 0 else _BLOCK)
        self._left -= len(block)
        if self._left < 0:
            raise ClientError(
                f"{self._name} unpacks to more than {UNPACKED_LIMIT} bytes, so it is not an archive of the client."
            )
        return block


def _relative_path(member: tarfile.TarInfo, top: str, name: str) -> str:
    """Return the path of a member below the archive's top folder; empty for that folder itself."""
    parts = member.name.rstrip("/").split("/")
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        raise ClientError(f"{name}: {member.name!r} leads out of the folder that it is unpacked into.")
    parts = [part for part in parts if part not in ("", ".")]
    if parts and parts[0] != top:
        raise ClientError(f"{name}: {member.name!r} is not below {top}/, as in the vendor's archives.")
    return "/".join(parts[1:])


def _link_target(member: tarfile.TarInfo, relative: str, name: str) -> str:
    target = member.linkname
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(relative), target))
    if not member.issym() or target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise ClientError(f"{name}: {member.name!r} is a link to {target!r}, out of the folder.")
    return target


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    check_free_space(os.path.dirname(target), member.size)
    source = archive.extractfile(member)
    with open(target, "xb") as stream:
        shutil.copyfileobj(source, stream, _BLOCK)  # type: ignore[arg-type]
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(target, 0o755 if member.mode & 0o100 else 0o644)


def _extract_members(archive: tarfile.TarFile, top: str, folder: str, name: str) -> Iterator[str]:
    """Unpack all members, and yield the relative path of every regular file."""
    total = 0
    for count, member in enumerate(archive):
        total += member.size
        if count >= MEMBER_LIMIT or total > UNPACKED_LIMIT:
            raise ClientError(f"{name} unpacks to more than {UNPACKED_LIMIT} bytes or {MEMBER_LIMIT} files.")
        relative = _relative_path(member, top, name)
        target = os.path.join(folder, *relative.split("/"))
        parent = os.path.dirname(target) if relative else folder
        if relative and os.path.realpath(parent) != os.path.join(os.path.realpath(folder), *relative.split("/")[:-1]):
            raise ClientError(f"{name}: {member.name!r} goes through a link.")
        if member.isdir():
            os.makedirs(target, 0o755, exist_ok=True)
        elif member.issym() or member.islnk():
            os.makedirs(parent, 0o755, exist_ok=True)
            os.symlink(_link_target(member, relative, name), target)
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and relative:
            os.makedirs(parent, 0o755, exist_ok=True)
            _write_member(archive, member, target)
            yield relative
        else:
            raise ClientError(f"{name}: {member.name!r} is neither a file, a folder nor a link.")


def extract(path: str, name: str, product: str, folder: str) -> None:
    """Unpack the archive at `path`, named `name`, into a new folder, without the archive's own top folder.

    The program is named after the product, whatever its name in the archive is. Raises ClientError for an archive that
    is truncated, too large, without the program, or with a member outside the folder. The caller removes the folder.
    """
    top = name[: -len(".tgz")]
    os.mkdir(folder, 0o755)
    try:
        with gzip.open(path, "rb") as stream:
            limited: Any = _LimitedStream(stream, UNPACKED_LIMIT, name)  # type: ignore[arg-type]
            with tarfile.open(fileobj=limited, mode="r|", bufsize=_BLOCK) as archive:
                files = set(_extract_members(archive, top, folder, name))
            # The checksum is at the end of the stream.
            while limited.read(_BLOCK):
                pass
    except (EOFError, tarfile.TarError, gzip.BadGzipFile, ValueError) as exc:
        raise ClientError(f"{name} is truncated or not an archive: {exc}.") from None
    except FileExistsError as exc:
        raise ClientError(f"{name} has {exc.filename} twice.") from None
    except OSError as exc:
        if exc.errno is None:
            raise ClientError(f"{name} is truncated or not an archive: {exc}.") from None
        raise
    program = os.path.join(folder, product)
    if product not in files and "cockroach" in files:
        os.rename(os.path.join(folder, "cockroach"), program)
    elif product not in files:
        raise ClientError(f"{name}: the program {top}/{product} is missing.")
    os.chmod(program, 0o755)  # noqa: S103 - programs and folders are for everybody
