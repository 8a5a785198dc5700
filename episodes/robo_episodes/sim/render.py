"""Frames of the world as a domain's cameras would take them; also the dense labels that pretraining uses."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from robo_episodes.errors import RoboDialogError
from robo_episodes.sim.domains import Look, pattern_pixels
from robo_episodes.sim.scene import SLOTS
from robo_episodes.sim.world import PATTERN_SIZE, TABLE_PATTERNS, World

CAMERAS = ("front", "side", "wrist")
SIZE = 96
"""Frames are SIZE × SIZE pixels."""

_STANDARD = {"front": (-90.0, 42.0, 0.80), "side": (-25.0, 38.0, 0.82)}
"""Azimuth and elevation in degrees and distance in metres of the fixed cameras about the point they look at."""

_LOOK_AT = np.array([0.0, 0.02, 0.03])
PARTS = ("nothing", "gripper", "plate", "cabinet", "drawer", "handle")
"""Classes of the dense labels before the objects, which follow in the order of state.NAMES."""

Image = npt.NDArray[np.uint8]


class Camera:
    """Renders one `World`. Holds an OpenGL context: one per process, used from the thread that made it."""

    def __init__(self, world: World) -> None:
        self._world = world
        for pattern in TABLE_PATTERNS:
            self._fill(pattern)
        try:
            self._renderer = mujoco.Renderer(world.model, SIZE, SIZE)
        except Exception as error:
            raise RoboDialogError(
                "MuJoCo cannot open an OpenGL context for rendering; on a machine without a screen install EGL with "
                "`apt-get install -y libegl1 libgl1 libgles2` (or libosmesa6 and set MUJOCO_GL=osmesa)"
            ) from error

    def dress(self, look: Look) -> None:
        """Give the world the colours, light and camera poses of `look`."""
        model = self._world.model
        self._paint("table", look.table, look.table_color)
        self._paint("plate", look.plate, look.plate_color)
        shade = tuple(0.75 * c for c in look.cabinet_color)
        for part in ("top", "left", "right", "back"):
            self._paint(f"cabinet_{part}", look.cabinet, look.cabinet_color)
        for part in ("front", "left", "right"):
            self._tint(f"drawer_{part}", "drawer", shade)
        bright = tuple(min(1.0, 0.45 + 0.6 * c) for c in look.cabinet_color)
        self._tint("handle", "handle", bright)
        grey = (look.gripper,) * 3
        self._tint("palm", "gripper", grey)
        self._tint("finger_l", "finger", tuple(0.7 * g for g in grey))
        self._tint("floor", "floor", (0.35, 0.35, 0.37))
        for thing in self._world.scene.things:
            self._tint(f"thing{thing.slot}", f"thing{thing.slot}", look.paints[thing.color])
        for name, (azimuth, elevation, distance) in look.cameras.items():
            self._aim(name, azimuth, elevation, distance)
        warm = np.clip([1.0 + look.warmth, 1.0, 1.0 - look.warmth], 0, 2)
        model.vis.headlight.diffuse[:] = 0.30 * look.light * warm
        model.vis.headlight.ambient[:] = 0.35 * look.light * warm
        lamp = model.light("lamp")
        lamp.diffuse[:] = 0.55 * look.light * warm
        lamp.pos[:] = (*look.lamp, 1.2)
        lamp.dir[:] = (-look.lamp[0] / 1.2, -look.lamp[1] / 1.2, -1.0)
        mujoco.mj_forward(model, self._world.data)  # the poses of cameras and lights are derived quantities

    def shoot(self, camera: str, look: Look, rng: np.random.Generator) -> Image:
        """One RGB frame (SIZE, SIZE, 3) with the sensor's gamma and noise."""
        self._renderer.update_scene(self._world.data, camera=camera)
        clean = self._renderer.render().astype(np.float32) / 255.0
        exposed = 255.0 * clean**look.gamma
        if look.noise > 0:
            exposed += rng.normal(0.0, look.noise, exposed.shape)
        frame: Image = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
        return frame

    def classes(self, camera: str) -> npt.NDArray[np.uint8]:
        """Dense labels (SIZE, SIZE): index into PARTS, or len(PARTS) + slot of an object's body."""
        self._renderer.enable_segmentation_rendering()
        self._renderer.update_scene(self._world.data, camera=camera)
        pixels = self._renderer.render()
        self._renderer.disable_segmentation_rendering()
        table = self._class_of_geom()
        ids = np.where(pixels[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), pixels[..., 0], -1)
        labels: npt.NDArray[np.uint8] = table[ids]
        return labels

    def _class_of_geom(self) -> npt.NDArray[np.uint8]:
        model = self._world.model
        table = np.zeros(model.ngeom + 1, np.uint8)
        groups = {"palm": 1, "arm": 1, "finger_l": 1, "finger_r": 1, "plate": 2, "handle": 5}
        for geom in range(model.ngeom):
            name = model.geom(geom).name
            prefix = {"cabinet": 3, "drawer": 4}.get(name.split("_")[0], 0)
            table[geom] = groups.get(name, prefix)
        for slot in range(len(SLOTS)):
            table[model.geom(f"thing{slot}").id] = len(PARTS) + slot
        return table

    def _fill(self, pattern: str) -> None:
        texture = self._world.model.texture(pattern)
        start = int(texture.adr[0])
        grey = pattern_pixels(pattern, PATTERN_SIZE)
        channels = int(texture.nchannel[0])
        self._world.model.tex_data[start : start + grey.size * channels] = np.repeat(grey.ravel(), channels)

    def _paint(self, geom: str, pattern: str, color: tuple[float, ...]) -> None:
        """Point a geom at a pattern's material; patterns are shared, so the tint is the geom's own rgba."""
        model = self._world.model
        model.geom(geom).matid[:] = model.material(pattern).id
        model.geom(geom).rgba[:3] = color

    def _tint(self, geom: str, material: str, color: tuple[float, ...]) -> None:
        model = self._world.model
        model.material(material).rgba[:3] = color
        model.geom(geom).rgba[:3] = color

    def _aim(self, name: str, azimuth: float, elevation: float, distance: float) -> None:
        base = _STANDARD[name]
        a, e = np.radians(base[0] + azimuth), np.radians(base[1] + elevation)
        back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        right = np.array([-np.sin(a), np.cos(a), 0.0])
        up = np.cross(back, right)
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, np.column_stack([right, up, back]).ravel())
        camera = self._world.model.camera(name)
        camera.pos[:] = _LOOK_AT + back * base[2] * distance
        camera.quat[:] = quat
