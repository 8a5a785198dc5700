"""The physics: one fixed MuJoCo model whose bodies are placed anew for every scene, and its state read back."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from robo_episodes.sim.scene import (
    CABINET,
    CYLINDER_RADIUS,
    DRAWER_TRAVEL,
    HALF_HEIGHT,
    PLATE_HEIGHT,
    PLATE_RADIUS,
    SLOTS,
    Scene,
    Thing,
)
from robo_episodes.sim.state import State

TIMESTEP = 0.004
SUBSTEPS = 12
"""Physics steps of one control step: 48 ms."""

OPEN, CLOSED = 0.050, 0.012
"""Finger positions, metres from the middle."""

HOME = (0.0, -0.02, 0.24)
"""Where the gripper starts: the point between the finger tips."""

TABLE_PATTERNS = ("plain", "wood", "speckle", "cloth", "checker", "stripes", "tiles", "blotches")
PATTERN_SIZE = 128

_CONE = 'friction="1.2 0.02 0.002" condim="4"'


def _body(slot: int) -> str:
    half = HALF_HEIGHT[SLOTS[slot]]
    geom = {
        "cube": f'type="box" size="{half} {half} {half}" {_CONE}',
        "ball": f'type="sphere" size="{half}" condim="6" friction="1.2 0.02 0.006"',
        "cylinder": f'type="cylinder" size="{CYLINDER_RADIUS} {half}" {_CONE}',
    }[SLOTS[slot]]
    return (
        f'<body name="thing{slot}" pos="{3 + slot} 0 0.05"><freejoint/>'
        f'<geom name="thing{slot}" {geom} mass="0.06" material="thing{slot}"/></body>'
    )


def _xml() -> str:
    textures = "".join(
        f'<texture name="{p}" type="2d" builtin="flat" width="{PATTERN_SIZE}" height="{PATTERN_SIZE}" rgb1="1 1 1"/>'
        f'<material name="{p}" texture="{p}" texrepeat="1 1" specular="0.1" shininess="0.1"/>'
        for p in TABLE_PATTERNS
    )
    paints = "".join(f'<material name="thing{slot}" specular="0.2" shininess="0.3"/>' for slot in range(len(SLOTS)))
    cx, cy = CABINET
    return f"""
<mujoco model="tabletop">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" impratio="8"/>
  <visual><global offwidth="256" offheight="256"/><quality shadowsize="0" offsamples="4"/>
    <headlight ambient="0.3 0.3 0.3" diffuse="0.3 0.3 0.3" specular="0 0 0"/><map znear="0.02" zfar="20"/></visual>
  <statistic extent="1" center="0 0 0"/>
  <asset>{textures}{paints}
    <material name="plate" specular="0.3"/><material name="cabinet"/><material name="drawer"/><material name="handle"/>
    <material name="gripper" specular="0.3"/><material name="finger"/><material name="floor"/></asset>
  <worldbody>
    <light name="lamp" pos="0.3 -0.4 1.2" dir="-0.2 0.3 -1" diffuse="0.6 0.6 0.6" castshadow="false"/>
    <camera name="front" pos="0 -0.75 0.55" fovy="37"/><camera name="side" pos="0.65 -0.3 0.5" fovy="37"/>
    <geom name="floor" type="plane" pos="0 0 -0.4" size="6 6 0.1" material="floor" contype="0" conaffinity="0"/>
    <geom name="table" type="box" pos="0 0 -0.02" size="0.45 0.45 0.02" material="plain" {_CONE}/>
    <geom name="parking" type="box" pos="5.5 0 -0.02" size="4 1 0.02" rgba="0 0 0 0"/>
    <body name="plate" pos="0.1 -0.1 0"><geom name="plate" type="cylinder" material="plate"
      pos="0 0 {PLATE_HEIGHT / 2}" size="{PLATE_RADIUS} {PLATE_HEIGHT / 2}" {_CONE}/></body>
    <body name="cabinet" pos="{cx} {cy} 0">
      <geom name="cabinet_top" type="box" pos="0 0.01 0.059" size="0.062 0.062 0.004" material="cabinet"/>
      <geom name="cabinet_left" type="box" pos="-0.058 0.013 0.028" size="0.004 0.059 0.028" material="cabinet"/>
      <geom name="cabinet_right" type="box" pos="0.058 0.013 0.028" size="0.004 0.059 0.028" material="cabinet"/>
      <geom name="cabinet_back" type="box" pos="0 0.068 0.028" size="0.055 0.004 0.028" material="cabinet"/>
      <body name="drawer"><joint name="drawer" type="slide" axis="0 -1 0" range="0 {DRAWER_TRAVEL}"
          damping="3" frictionloss="0.6"/>
        <geom name="drawer_front" type="box" pos="0 -0.053 0.027" size="0.060 0.005 0.026" material="drawer"
          mass="0.1"/>
        <geom name="drawer_floor" type="box" pos="0 0.005 0.006" size="0.052 0.055 0.003" material="handle"
          mass="0.1" contype="0" conaffinity="0"/>
        <geom name="drawer_left" type="box" pos="-0.050 0.005 0.025" size="0.003 0.055 0.018" material="drawer"
          mass="0.02" contype="0" conaffinity="0"/>
        <geom name="drawer_right" type="box" pos="0.050 0.005 0.025" size="0.003 0.055 0.018" material="drawer"
          mass="0.02" contype="0" conaffinity="0"/>
        <geom name="handle" type="cylinder" pos="0 -0.066 0.065" size="0.009 0.048" material="handle" mass="0.05"
          friction="1.5 0.02 0.002" condim="4"/></body></body>
    {"".join(_body(slot) for slot in range(len(SLOTS)))}
    <body name="gripper" pos="0 0 0" gravcomp="1">
      <joint name="gx" type="slide" axis="1 0 0" damping="20"/><joint name="gy" type="slide" axis="0 1 0" damping="20"/>
      <joint name="gz" type="slide" axis="0 0 1" damping="20"/>
      <geom name="palm" type="box" pos="0 0 0.075" size="0.018 0.062 0.012" material="gripper" mass="0.4"/>
      <geom name="arm" type="capsule" fromto="0 0 0.09 0 0.05 0.5" size="0.02" material="gripper" mass="0.4"
        contype="0" conaffinity="0"/>
      <camera name="wrist" pos="0.10 0 0.09" xyaxes="0 1 0 -0.669 0 0.743" fovy="75"/>
      <body name="finger_l" gravcomp="1"><joint name="fl" type="slide" axis="0 1 0" range="0 0.055" damping="8"/>
        <geom name="finger_l" type="box" pos="0 0.006 0.028" size="0.014 0.006 0.036" material="finger" mass="0.05"
          friction="2 0.05 0.002" condim="6"/></body>
      <body name="finger_r" gravcomp="1"><joint name="fr" type="slide" axis="0 -1 0" range="0 0.055" damping="8"/>
        <geom name="finger_r" type="box" pos="0 -0.006 0.028" size="0.014 0.006 0.036" material="finger" mass="0.05"
          friction="2 0.05 0.002" condim="6"/></body></body>
  </worldbody>
  <actuator>
    <position joint="gx" kp="900" kv="60"/><position joint="gy" kp="900" kv="60"/>
    <position joint="gz" kp="900" kv="60"/>
    <position joint="fl" kp="300" kv="10" forcerange="-8 8"/><position joint="fr" kp="300" kv="10" forcerange="-8 8"/>
  </actuator>
</mujoco>"""


class World:
    """One MuJoCo model and its data. Not thread-safe; about 30 ms a whole episode without rendering."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(_xml())
        self.data = mujoco.MjData(self.model)
        self.scene = Scene((), (0.0, 0.0), 0.0)

    def reset(self, scene: Scene) -> None:
        """Place everything as `scene` says, the gripper at home and open, and let it settle."""
        mujoco.mj_resetData(self.model, self.data)
        self.scene = scene
        self.model.body("plate").pos[:2] = scene.plate
        for thing in scene.things:
            joint = self.data.joint(self.model.body(f"thing{thing.slot}").jntadr[0])
            joint.qpos[:3] = thing.position
            joint.qpos[3:] = (np.cos(thing.yaw / 2), 0, 0, np.sin(thing.yaw / 2))
        self.data.joint("drawer").qpos[0] = scene.drawer * DRAWER_TRAVEL
        for axis, value in zip(("gx", "gy", "gz"), HOME, strict=True):
            self.data.joint(axis).qpos[0] = value
        self.data.joint("fl").qpos[0] = self.data.joint("fr").qpos[0] = OPEN
        self.step(np.array(HOME), OPEN, 4)

    def step(self, target: npt.NDArray[np.float64], fingers: float, controls: int = 1) -> None:
        """Hold the set points (x, y, z in metres; finger position in metres) for `controls` control steps."""
        self.data.ctrl[:3] = target
        self.data.ctrl[3:] = fingers
        mujoco.mj_step(self.model, self.data, SUBSTEPS * controls)

    @property
    def gripper(self) -> npt.NDArray[np.float64]:
        """Point between the finger tips (3,), metres."""
        return np.array([self.data.joint(axis).qpos[0] for axis in ("gx", "gy", "gz")])

    def position(self, thing: Thing) -> npt.NDArray[np.float64]:
        """Centre (3,) of an object, metres."""
        return np.array(self.data.body(f"thing{thing.slot}").xpos)

    def state(self) -> State:
        """Read the facts of this moment from poses and contacts."""
        touching = self._contacts()
        where = {thing.name: self.position(thing) for thing in self.scene.things}
        held = self._held(touching, where)
        gripped = {t.name for t in self.scene.things if self._gripped(t, touching)}
        on_plate, on_table, on_top = set(), set(), set()
        for thing in self.scene.things:
            name, geom = thing.name, f"thing{thing.slot}"
            if name in gripped:
                continue
            below = self._below(thing, where, touching)
            if below is not None:
                on_top.add((name, below))
            elif (geom, "plate") in touching and self._over_plate(where[name]):
                on_plate.add(name)
            elif (geom, "table") in touching and not self._over_plate(where[name]):
                on_table.add(name)
        return State(
            present=frozenset(where),
            on_plate=frozenset(on_plate),
            on_table=frozenset(on_table),
            on_top=frozenset(on_top),
            held=held,
            drawer=float(np.clip(self.data.joint("drawer").qpos[0] / DRAWER_TRAVEL, 0.0, 1.0)),
        )

    def _contacts(self) -> set[tuple[str, str]]:
        names = self.model.geom
        pairs = set()
        for contact in self.data.contact:
            a, b = names(contact.geom1).name, names(contact.geom2).name
            pairs |= {(a, b), (b, a)}
        return pairs

    def _gripped(self, thing: Thing, touching: set[tuple[str, str]]) -> bool:
        geom = f"thing{thing.slot}"
        return (geom, "finger_l") in touching and (geom, "finger_r") in touching

    def _held(self, touching: set[tuple[str, str]], where: dict[str, npt.NDArray[np.float64]]) -> str | None:
        for thing in self.scene.things:
            clear = where[thing.name][2] - HALF_HEIGHT[thing.shape] > 0.05
            if clear and self._gripped(thing, touching):
                return thing.name
        return None

    def _below(
        self, thing: Thing, where: dict[str, npt.NDArray[np.float64]], touching: set[tuple[str, str]]
    ) -> str | None:
        here = where[thing.name]
        for other in self.scene.things:
            if other is thing or (f"thing{thing.slot}", f"thing{other.slot}") not in touching:
                continue
            gap = here - where[other.name]
            expected = HALF_HEIGHT[thing.shape] + HALF_HEIGHT[other.shape]
            if abs(gap[2] - expected) < 0.012 and np.hypot(gap[0], gap[1]) < 0.04:
                return other.name
        return None

    def _over_plate(self, position: npt.NDArray[np.float64]) -> bool:
        plate = self.scene.plate
        return bool(np.hypot(position[0] - plate[0], position[1] - plate[1]) < PLATE_RADIUS)
