"""Links between the project's own files lead somewhere.

The site is built with unknown references as errors; this holds for what Sphinx does not read, and
without building anything.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tutorials").glob("*.ipynb")),
]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_DIRECTIVE = re.compile(r"^```\{(?:image|figure|include|literalinclude)\} (\S+)", re.MULTILINE)


def prose(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def local_links(text: str) -> Iterator[str]:
    """Paths that a Markdown text refers to, without anchors and web addresses."""
    for pattern in (_LINK, _DIRECTIVE):
        for address in pattern.findall(text):
            path = address.partition("#")[0]
            if path and "://" not in address and not address.startswith(("mailto:", "scsalient.")):
                yield path


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_local_links_lead_to_files(path):
    dead = [link for link in local_links(prose(path)) if not _exists(path.parent, link)]
    assert dead == []


def _exists(folder: Path, link: str) -> bool:
    target = (folder / link).resolve()
    # Sphinx finds copies of the tutorials below `docs`
    copy = ROOT / "tutorials" / target.name
    in_docs = target.parent == ROOT / "docs" / "tutorials" and copy.suffix == ".ipynb"
    return target.exists() or (in_docs and copy.exists())


def test_dead_links_are_seen():
    text = "[a](b.md#c) ![d](e.png) [f](https://g) [h](#i) [`j`](scsalient.ContrastiveVAE)"
    assert list(local_links(text)) == ["b.md", "e.png"]
    assert not _exists(ROOT / "docs" / "user_guide", "../tutorials/none.ipynb")


def test_every_tutorial_is_linked_from_the_readme():
    readme = set(local_links(prose(ROOT / "README.md")))
    tutorials = {f"tutorials/{path.name}" for path in (ROOT / "tutorials").glob("*.ipynb")}
    assert tutorials - readme == set()
