# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The picture of the report's page in the docs: `python -m tests.screenshot` writes docs/check-report.png."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.plugin_utils._report.formats import as_html

from tests import reports

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "check-report.png"
SIZE = (1100, 760)
HOSTS = 1000


def main(picture: Path = PICTURE) -> None:
    """Let Chromium, which has no window and a home of its own, render the report of a made-up fleet."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("There is no chromium: make system-deps installs it.")
    with tempfile.TemporaryDirectory() as home:
        page = Path(home) / "report.html"
        page.write_bytes(as_html(reports.fleet(HOSTS)))
        options = ["--headless=new", "--hide-scrollbars", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        subprocess.run(
            [program, *options, f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={picture}", page.as_uri()],
            env={**os.environ, "HOME": home}, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    print(f"{picture}: {picture.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
