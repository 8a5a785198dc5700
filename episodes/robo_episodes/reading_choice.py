"""How recordings are read, as a command may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from robo_episodes.layout import Layout
    from robo_episodes.workers.limits import Limits


@dataclass(frozen=True)
class ReadingChoice:
    """The options of `inspect` and `ingest` that say how recordings are read."""

    layout: Path | None = None
    """YAML file with layouts of your own, tried before the built-in ones."""
    instruction: str | None = None
    """Instruction of episodes whose recording holds none."""
    jpeg: Literal["standard", "cv2"] | None = None
    """How JPEG images were written, whatever the layout says; try the other one where red and blue are swapped."""
    color: Literal["rgb", "bgr"] | None = None
    """Channel order of raw images, whatever the layout says."""
    orient: Literal["none", "flipud", "rot180"] | None = None
    """What turns the images upright, whatever the layout says."""
    memory_limit: int = 2048
    """Megabytes that reading an episode may take before it counts as unreadable."""
    time_limit: float = 60
    """Seconds that reading an episode may take before it counts as unreadable."""

    def layouts(self) -> tuple[Layout, ...]:
        """Return the layouts, in the order in which they are tried.

        Raises:
            LayoutError: the file of layouts is wrong.
        """
        from robo_episodes.layout import builtin_layouts, load_layouts, stored_as

        layouts = builtin_layouts() if self.layout is None else load_layouts(self.layout)
        return stored_as(layouts, jpeg=self.jpeg, color=self.color, orient=self.orient)

    def limits(self) -> Limits:
        """Return what reading an episode may cost.

        Raises:
            ConfigError: a limit under which nothing can be read.
        """
        from robo_episodes.workers.limits import Limits

        return Limits(self.memory_limit, self.time_limit)
