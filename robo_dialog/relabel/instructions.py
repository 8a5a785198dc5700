"""Which instructions every episode is asked about besides its own."""

from __future__ import annotations

from pathlib import Path

from robo_dialog.detect.preprocess import check_instruction
from robo_dialog.errors import ConfigError, RequestError
from robo_dialog.vlm.prompts import normalized
from robo_episodes.recordings import Scan
from robo_episodes.stages.reading import Source, shards
from robo_episodes.taken import TakenEpisode
from robo_episodes.workers.crew import Crew


def asked(choice: str, found: Scan, source: Source, crew: Crew) -> tuple[str, ...]:
    """The instructions, each once, in alphabetical order.

    Args:
        choice: `own`: none; `all`: those of the recordings; else a text file with one a line.
        found: the recordings.
        source: how they are read.
        crew: reads them; no frame is decoded.

    Raises:
        ConfigError: the file cannot be read, or holds something that no model can be asked.
    """
    if choice == "own":
        return ()
    texts = _of_recordings(found, source, crew) if choice == "all" else _of_file(Path(choice))
    return tuple(sorted({normalized(text) for text in texts}))


def _of_recordings(found: Scan, source: Source, crew: Crew) -> set[str]:
    texts: set[str] = set()
    for shard in shards(found.recordings, source.identity):
        for one in source.episodes(shard.content, crew, frames=False):
            if isinstance(one, TakenEpisode) and one.instruction and _is_acceptable(one.instruction):
                texts.add(one.instruction)
    return texts


def _of_file(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--instructions {path}: cannot be read ({error}); give own, all or a text file") from error
    texts = {line.strip() for line in lines if line.strip()}
    if wrong := sorted(text for text in texts if not _is_acceptable(text)):
        raise ConfigError(f"--instructions {path}: {wrong[0]!r:.80} cannot be asked; give 1 to 512 characters a line")
    return texts


def _is_acceptable(text: str) -> bool:
    try:
        check_instruction(text)
    except RequestError:
        return False
    return True
