"""The tutorials are in git as people should see them: run once, clean, and small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scsalient import _keys

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
# Written by scanpy and scvi-tools' users by habit, not by us
FOREIGN_KEYS = {"X_pca", "X_umap", "X_scVI"}
MAX_BYTES = 1_000_000


def cells_of(path: Path, kind: str) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def outputs_of(path: Path) -> list[dict]:
    return [output for cell in cells_of(path, "code") for output in cell["outputs"]]


def text_of(output: dict) -> str:
    parts = [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "".join("".join(part) for part in parts)


def test_there_are_notebooks():
    assert "quickstart.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestNotebook:
    def test_ran_from_top_to_bottom(self, path):
        counts = [cell["execution_count"] for cell in cells_of(path, "code")]
        assert counts == list(range(1, len(counts) + 1))

    def test_has_a_figure(self, path):
        assert sum("image/png" in output.get("data", {}) for output in outputs_of(path)) >= 1

    def test_has_no_error_and_no_noise(self, path):
        assert [output for output in outputs_of(path) if output["output_type"] == "error"] == []
        streams = [o for o in outputs_of(path) if o["output_type"] == "stream"]
        assert [text_of(o) for o in streams if o["name"] == "stderr"] == []

    def test_shows_no_folder_of_the_machine_that_ran_it(self, path):
        shown = "".join(text_of(output) for output in outputs_of(path))
        source = "".join("".join(cell["source"]) for cell in cells_of(path, "code"))
        assert re.findall(r"(?<![\w.])/(?:work|tmp|root|opt|home|Users)/", shown + source) == []

    def test_is_small(self, path):
        assert path.stat().st_size < MAX_BYTES

    def test_has_a_smoke_mode(self, path):
        assert any("SCSALIENT_SMOKE" in "".join(c["source"]) for c in cells_of(path, "code"))

    def test_names_only_known_keys(self, path):
        known = {value for name, value in vars(_keys).items() if name.isupper()} | FOREIGN_KEYS
        text = "".join(
            "".join(c["source"]) for kind in ("code", "markdown") for c in cells_of(path, kind)
        )
        assert set(re.findall(r"\bX_[A-Za-z]\w*", text)) - known == set()

    def test_is_on_the_site(self, path):
        page = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
        assert re.search(rf"^{path.stem}$", page, flags=re.MULTILINE)
