"""What the site does with links out of `docs/`: pictures come along, other files are in the repository."""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
REPOSITORY: Final = "https://github.com/repvit-nas/repvit-nas/blob/main"
_OUT: Final = re.compile(r"\]\(\.\./([^)]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pictures that pages link to."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        for target in _OUT.findall(page.read_text()):
            if target.endswith(".png") and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links out of `docs/` to where their files are."""
    return _OUT.sub(
        lambda link: f"]({link[1]})" if link[1].endswith(".png") else f"]({REPOSITORY}/{link[1]})",
        markdown,
    )
