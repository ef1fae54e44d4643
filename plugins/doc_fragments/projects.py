# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  projects:
    description:
      - Folders whose projects decide how files look. Where one is not as O(projects[].assumed) says, the module does
        nothing but return RV(projects).
    type: list
    elements: dict
    default: []
    suboptions:
      app:
        description: Name of the app.
        type: str
        required: true
      folder:
        description: Folder of the app.
        type: path
        required: true
      user:
        description: The user whose rights are used. The default is the user that the module runs as.
        type: str
        default: ""
      packages:
        description: The packages whose versions are looked for, as a list by language.
        type: dict
        required: true
      rules:
        description:
          - How the project of a language is found that declares it in the catalogue, by language.
          - C(manifests), C(versions) and C(facts), as in a C(language.yml).
        type: dict
        default: {}
      assumed:
        description: What RV(projects) is expected to say of this app.
        type: dict
        default: {}
"""
