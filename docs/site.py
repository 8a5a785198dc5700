"""What turns this repository's pages into a site: pages beside the code join in, links to files lead to the repository.

A hook of MkDocs, so that every page reads the same on a code host and on the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
BESIDE_THE_CODE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "deploy.md",
    "episodes/README.md": "episodes.md",
    "server/README.md": "server.md",
}
"""Path in the repository to path on the site."""
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
"""A target that is no address, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring in the pages that lie beside the code."""
    for path, uri in BESIDE_THE_CODE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links of the site."""
    here = page.file.src_uri
    source = next((path for path, uri in BESIDE_THE_CODE.items() if uri == here), f"docs/{here}")

    def target(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        uri = BESIDE_THE_CODE.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(uri) is not None and (path in BESIDE_THE_CODE or path.startswith("docs/")):
            return posixpath.relpath(uri, posixpath.dirname(here) or ".")
        return f"{config.repo_url}/blob/main/{path}" if (ROOT / path).exists() else found[1]

    return _LINK.sub(target, markdown)
