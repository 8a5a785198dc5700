"""Which of a container's flat names (features, columns, topics) are cameras, and what to call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from robo_episodes.episode import readable
from robo_episodes.ordering import natural
from robo_episodes.streams import colorless_word


def cameras_among(globs: Sequence[str], keys: Iterable[str]) -> dict[str, str]:
    """Return camera name to key, in the order of the globs and then of the keys, sorted naturally; depth is left out.

    A camera is called what the `*` of its glob stand for (`steps/observation/*`), or its key where that is taken.

    Args:
        globs: from a layout; `*` also matches `/`, and a glob that starts with `!` excludes.
        keys: all names of the container.
    """
    names = sorted(keys, key=natural)
    excluding = [glob[1:] for glob in globs if glob.startswith("!")]
    found: dict[str, str] = {}
    for glob in (glob for glob in globs if not glob.startswith("!")):
        pattern = re.compile("(.*)".join(map(re.escape, glob.split("*"))), re.DOTALL)
        for key in names:
            match = pattern.fullmatch(key)
            if match is None or key in found.values() or any(fnmatchcase(key, other) for other in excluding):
                continue
            if colorless_word(key, [glob]) is not None:
                continue
            name = readable("_".join(part.strip("/") for part in match.groups() if part.strip("/")) or key)
            found[name if name not in found else readable(key)] = key
    return found
