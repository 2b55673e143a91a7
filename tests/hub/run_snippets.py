"""A process of its own that runs every Python program of a card, on texts that are given, and writes what they found.

    python run_snippets.py README.md texts.json found.json

It knows nothing of hfcompress; only the line that names the example texts is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def main(card: Path, texts: Path, out: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", card.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    given = json.loads(texts.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for program in programs:
        replaced, count = re.subn(r"^texts = .*$", lambda _: f"texts = {given!r}", program, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"the program names its texts {count} times:\n{program}")
        names: dict[str, Any] = {}
        exec(compile(replaced, "snippet", "exec"), names)
        found |= _found(names)
    out.write_text(json.dumps(found), encoding="utf-8")


def _found(names: dict[str, Any]) -> dict[str, Any]:
    if "pipe" in names:
        return {"optimum": names["answers"]}
    if "load" in names:
        return {"hfcompress": names["outputs"]["logits"].tolist()}
    return {"transformers": names["outputs"].logits.tolist()}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
