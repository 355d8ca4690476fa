"""Copies of the tutorials below `docs`, since Sphinx reads nothing outside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SOURCE = Path(__file__).parents[2] / "tutorials"


def copy_tutorials(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "tutorials"
    names = {path.name for path in SOURCE.glob("*.ipynb")}
    for gone in [path for path in folder.glob("*.ipynb") if path.name not in names]:
        gone.unlink()
    for name in names:
        # Links to pages are right where the notebook lies, as on GitHub
        text = without_empty_outputs((SOURCE / name).read_text(encoding="utf-8"))
        text = text.replace("](../docs/", "](../")
        copy = folder / name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")


def without_empty_outputs(notebook: str) -> str:
    """The notebook without results of no text, such as scvi-tools' models leave behind."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        cell["outputs"] = [o for o in cell.get("outputs", []) if not is_empty(o)]
        if cell["cell_type"] != "code":
            del cell["outputs"]
    return json.dumps(content, indent=1, ensure_ascii=False)


def is_empty(output: dict[str, Any]) -> bool:
    data = output.get("data", {})
    return set(data) == {"text/plain"} and not "".join(data["text/plain"]).strip()


def setup(app: Sphinx) -> dict[str, Any]:
    # Before sources are looked for, so not on `builder-inited`
    app.connect("config-inited", lambda app, _config: copy_tutorials(app))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
