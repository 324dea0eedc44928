"""Licences are found in headers, statements and licence files."""

from pathlib import Path

import pytest

from genloom.collect.licence import (
    find_folder_licence,
    find_reserved_rights,
    find_row_licence,
    find_spdx,
    find_statement,
    identify_licence,
    is_licence_file,
)

MIT = 'Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "x"'


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("# SPDX-License-Identifier: MIT\nimport os", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only */", "GPL-2.0-only"),
        ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->\n# Title", "CC-BY-4.0"),
        ("// SPDX-License-Identifier: Apache-2.0 OR MIT\n", "Apache-2.0 OR MIT"),
        ("no header", ""),
        ("x" * 5000 + "SPDX-License-Identifier: MIT", ""),
    ],
)
def test_spdx_headers(head: str, found: str) -> None:
    assert find_spdx(head) == found


@pytest.mark.parametrize(
    ("front_matter", "found"),
    [
        ("---\ntitle: A\nlicense: MIT\n---", "MIT"),
        ("\ufeff---\r\nRights: 'CC0-1.0' # ours\r\n---\r", "CC0-1.0"),
        ("---\nlicense: https://creativecommons.org/licenses/by/4.0/\n...", "CC-BY-4.0"),
        ("---\nlicenses: [MIT, 'Apache-2.0']\n---", "MIT AND Apache-2.0"),
        ("---\nlicense:\n- MIT\n- Apache-2.0\ntags:\n- new\n---", "MIT AND Apache-2.0"),
        ("---\nlicense:\n  name: Ours\n  spdx: GPL-3.0\n---", "GPL-3.0"),
        ("---\nlicense:\n  - name: Ours\n    spdx: GPL-3.0\n  - MIT\n---", "GPL-3.0 AND MIT"),
        ('+++\nlicense = "MIT"\n[author]\nname = "B"\n+++', "MIT"),
        ("---\nlicense:\n---", ""),
        ("---\nlicense: ~\ntitle: x\n---", ""),
        ("---\nlicense: {a: [1]}\n---", ""),
        ("---\nlicense: [MIT\n: : :\n---", ""),
        ("+++\nlicense = MIT\n+++", ""),
        ("+++\nlicense = " + "[" * 4000 + "\n+++", ""),
        ("---\nlicense:\n" + "- " * 2000 + "\n---", ""),
        ("---\nlicense: MIT", ""),
        ("A text.\nlicense: MIT", ""),
    ],
)
def test_front_matter(front_matter: str, found: str) -> None:
    statement = find_statement(f"{front_matter}\n\nThe text.")
    assert (identify_licence(statement) if statement else "") == found


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (MIT, "MIT"),
        ("Apache License\n                 Version 2.0, January 2004", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", "GPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n   Version 2.1, February 1999", "LGPL-2.1"),
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("This book is in the public domain.", "public domain"),
        ("© 2020 by  the Author", "© 2020 by the Author"),
        ("x" * 500, "x" * 80),
    ],
)
def test_statements(statement: str, name: str) -> None:
    assert identify_licence(statement) == name


def test_the_nearest_licence_file_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_folder_licence(inner, tmp_path) == ""
    find_folder_licence.cache_clear()
    (tmp_path / "LICENSE").write_text(MIT)
    other = tmp_path / "other" / "deep"
    other.mkdir(parents=True)
    (tmp_path / "other" / "COPYING.txt").write_text("All of this is mine. " * 20)
    assert find_folder_licence(tmp_path, tmp_path) == "MIT"
    assert find_folder_licence(inner, tmp_path) == "MIT"
    assert find_folder_licence(other, tmp_path) == "see COPYING.txt"


def test_rows_and_first_lines_name_licences() -> None:
    assert find_row_licence({"text": "x", "License": ["MIT", " Apache-2.0"]}) == "MIT AND Apache-2.0"
    assert find_row_licence({"license": None, "rights": "CC0-1.0"}) == "CC0-1.0"
    assert find_row_licence({"license": [], "text": "MIT"}) == ""
    github = {"key": "mit", "name": "MIT License", "spdx_id": "MIT", "url": "https://api.github.com/licenses/mit"}
    assert find_row_licence({"license": github}) == "MIT"
    other = {"name": "Our own", "spdx_id": "NOASSERTION"}
    assert find_row_licence({"licenses": [{"type": "ISC", "url": "x"}, other]}) == "ISC AND Our own"
    assert find_row_licence({"license": {"url": "https://creativecommons.org/licenses/by/4.0/"}}) == "CC-BY-4.0"
    assert find_row_licence({"license": {"id": 4}, "rights": "CC0-1.0"}) == "CC0-1.0"
    assert find_reserved_rights("© 2020 A. Person.\nAll rights\nreserved.") == "All rights reserved"
    assert find_reserved_rights("All rights are equal.") == "unknown"


def test_names_of_licence_files() -> None:
    assert all(map(is_licence_file, ["LICENSE", "LICENCE.md", "license.txt", "COPYING", "UNLICENSE", "LICENSE-MIT"]))
    assert not any(map(is_licence_file, ["licensing.py", "my license.txt", "license.py", "copying.pdf"]))
