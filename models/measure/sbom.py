"""Adds the weights that ship to a list of software in CycloneDX (JSON).

``python -m models.measure.sbom FILE`` is a step of ``make release``: what decides about a beat are
the weights, and a list of packages says nothing of them. Each is a component of type
``machine-learning-model`` with the SHA-256 that the repository pins.
"""

import json
import sys
from pathlib import Path
from typing import Any

from models.files.atomic_write import write_atomically
from models.files.model_file import pinned


def with_weights(bom: dict[str, Any], weights: dict[str, str]) -> dict[str, Any]:
    """Return a list of software with weights, SHA-256 by file name, in place of older ones.

    Raises:
        ValueError: it is no CycloneDX of version 1.5 or later, which has such components.
    """
    version = tuple(map(int, str(bom.get("specVersion", "0")).split(".")))
    if bom.get("bomFormat") != "CycloneDX" or version < (1, 5):
        raise ValueError("a CycloneDX list of version 1.5 or later is needed")
    others = [one for one in bom.get("components", []) if not _is_weights(one)]
    added = [
        {
            "type": "machine-learning-model",
            "bom-ref": f"models/weights/{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "licenses": [{"license": {"id": "Apache-2.0"}}],
        }
        for name, digest in sorted(weights.items())
    ]
    return {**bom, "components": [*others, *added]}


def _is_weights(component: dict[str, Any]) -> bool:
    return str(component.get("bom-ref", "")).startswith("models/weights/")


def main(path: Path) -> None:
    """Add the weights to the list in a file."""
    bom = with_weights(json.loads(path.read_text(encoding="utf-8")), pinned())
    write_atomically(path, (json.dumps(bom, indent=2) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
