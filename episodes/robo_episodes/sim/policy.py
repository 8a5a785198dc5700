"""A scripted noisy policy: waypoints for every instruction family, and the ways in which attempts go wrong.

The policy only aims; whether the attempt succeeded is read from the simulator afterwards. A `competent` plan may fail
and a plan that aims at a failure may succeed by luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from robo_episodes.sim.scene import CABINET, HALF_HEIGHT, PLATE_HEIGHT, PLATE_RADIUS, REACH, Scene, Thing
from robo_episodes.sim.state import Goal
from robo_episodes.sim.world import CLOSED, HOME, OPEN

INTENTS = ("competent", "near_miss", "wrong_object", "dropped", "timed_out")
SHARES = (0.54, 0.18, 0.10, 0.08, 0.10)
HOVER = 0.17
"""Height of the finger tips while carrying, metres."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Waypoint:
    """Move the point between the finger tips to `target` (3,) in metres, then hold `pause` control steps."""

    target: tuple[float, float, float]
    fingers: float
    pause: int = 0


@dataclass(frozen=True)
class Attempt:
    """One try at `goal`: what the policy meant to do (`intent`) and the waypoints that come of it."""

    goal: Goal
    intent: str
    waypoints: tuple[Waypoint, ...]


def possible_goals(scene: Scene, family: str) -> list[Goal]:
    """Instructions of a family that make sense in `scene`: their objects exist and they are not fulfilled yet."""
    free = _graspable(scene)
    placed = [thing for thing in free if _on_plate(scene, thing)]
    flat = [thing for thing in free if thing.shape != "ball"]
    match family:
        case "place":
            plate_taken = any(_on_plate(scene, thing) for thing in scene.things)
            return [] if plate_taken else [Goal("place", thing.name) for thing in free]
        case "stack":
            return [Goal("stack", a.name, b.name) for a in flat for b in flat if a is not b]
        case "lift":
            return [Goal("lift", thing.name) for thing in free]
        case "push":
            return [Goal("push", thing.name) for thing in placed]
        case "open":
            return [Goal("open")] if scene.drawer < 0.3 else []
        case "close":
            return [Goal("close")] if scene.drawer > 0.6 else []
    raise ValueError(f"unknown instruction family {family!r}")


def plan(scene: Scene, goal: Goal, rng: np.random.Generator, intent: str | None = None) -> Attempt:
    """Waypoints of one attempt; `intent` is drawn by SHARES if not given."""
    wish = intent or str(rng.choice(INTENTS, p=SHARES))
    acted = _swapped(scene, goal, rng) if wish == "wrong_object" else goal
    maker = {"open": _drawer, "close": _drawer, "push": _push, "lift": _lift}.get(acted.family, _transfer)
    steps = maker(scene, acted, rng, wish)
    if wish == "timed_out":
        steps = steps[: max(1, int(rng.integers(1, max(2, len(steps) - 2))))]
    elif acted.family != "lift":
        steps = [*steps, Waypoint((steps[-1].target[0], steps[-1].target[1], HOME[2]), OPEN), _away(rng)]
    return Attempt(goal, wish, tuple(steps))


def _away(rng: np.random.Generator) -> Waypoint:
    return Waypoint((HOME[0] + rng.uniform(-0.1, 0.1), HOME[1] + rng.uniform(-0.08, 0.08), HOME[2]), OPEN)


def _swapped(scene: Scene, goal: Goal, rng: np.random.Generator) -> Goal:
    """The same act on something else: another object, or the other family where there is only one object."""
    others = [t for t in _graspable(scene) if t.name not in (goal.moved, goal.below)]
    if goal.family == "push":
        others = [t for t in others if not _on_plate(scene, t)]
    if goal.family == "stack":
        others = [t for t in others if t.shape != "ball"]
    if not others:
        return Goal("close" if scene.drawer > 0.5 else "open")
    other = others[int(rng.integers(len(others)))].name
    if goal.family in ("open", "close"):
        return Goal("lift", other)
    if goal.family == "push":
        return Goal("place", other)
    if goal.family == "stack" and rng.random() < 0.5:
        return replace(goal, below=other)
    return replace(goal, moved=other)


def _graspable(scene: Scene) -> list[Thing]:
    """Objects with nothing on top of them."""
    return [
        t
        for t in scene.things
        if not any(
            o is not t
            and o.position[2] > t.position[2] + 0.02
            and np.hypot(o.position[0] - t.position[0], o.position[1] - t.position[1]) < 0.03
            for o in scene.things
        )
    ]


def _on_plate(scene: Scene, thing: Thing) -> bool:
    x, y, z = thing.position
    return bool(np.hypot(x - scene.plate[0], y - scene.plate[1]) < PLATE_RADIUS and z < 0.06)


def _noisy(point: tuple[float, float, float] | Vector, rng: np.random.Generator) -> tuple[float, float, float]:
    x, y, z = np.asarray(point) + rng.normal(0.0, (0.006, 0.006, 0.002))
    return (float(x), float(y), float(z))


def _grasp(thing: Thing, rng: np.random.Generator, wish: str) -> list[Waypoint]:
    """Approach, descend, close; a `dropped` attempt grips at the edge or not at all."""
    x, y, z = thing.position
    slip = rng.choice([-1, 1]) * rng.uniform(0.030, 0.045) if wish == "dropped" else 0.0
    above, at = _noisy((x + slip, y, HOVER + 0.02), rng), _noisy((x + slip, y, z - 0.004), rng)
    return [Waypoint(above, OPEN), Waypoint(at, OPEN, 2), Waypoint(at, CLOSED, 7)]


def _lift(scene: Scene, goal: Goal, rng: np.random.Generator, wish: str) -> list[Waypoint]:
    thing = scene.thing(goal.moved)
    x, y, z = thing.position
    up = rng.uniform(0.012, 0.030) if wish == "near_miss" else rng.uniform(0.10, 0.19)
    drift = rng.uniform(-0.05, 0.05, 2)
    steps = _grasp(thing, rng, wish)
    return [*steps, Waypoint((x, y, z + up), CLOSED, 2), Waypoint((x + drift[0], y + drift[1], z + up), CLOSED, 4)]


def _transfer(scene: Scene, goal: Goal, rng: np.random.Generator, wish: str) -> list[Waypoint]:
    """Pick up and put down: on the plate, on another object, or beside it in a near miss."""
    thing = scene.thing(goal.moved)
    half = HALF_HEIGHT[thing.shape]
    if goal.family == "place":
        spot, level = np.array([*scene.plate]), PLATE_HEIGHT
        spot += rng.normal(0, 0.012, 2)
        miss = rng.uniform(PLATE_RADIUS + 0.035, PLATE_RADIUS + 0.08)
    else:
        base = scene.thing(goal.below)
        spot, level = np.array(base.position[:2]), base.position[2] + HALF_HEIGHT[base.shape]
        miss = rng.uniform(0.062, 0.09)
    if wish == "near_miss":
        spot, level = _beside(scene, spot, miss, thing, rng), 0.0
    x, y, _ = thing.position
    carry = max(HOVER, level + half + 0.06)
    release = _noisy((spot[0], spot[1], level + half + 0.002), rng)
    return [
        *_grasp(thing, rng, wish),
        Waypoint((x, y, carry), CLOSED),
        Waypoint((float(spot[0]), float(spot[1]), carry), CLOSED, 1),
        Waypoint(release, CLOSED, 3),
        Waypoint(release, OPEN, 5),
    ]


def _beside(scene: Scene, spot: Vector, distance: float, thing: Thing, rng: np.random.Generator) -> Vector:
    """A point at `distance` from `spot`, inside the table, as clear of the other objects as can be found."""
    best, best_gap = spot, -1.0
    for angle in rng.uniform(0, 2 * np.pi, 24):
        point = np.clip(spot + distance * np.array([np.cos(angle), np.sin(angle)]), -REACH - 0.03, REACH + 0.03)
        others = [np.hypot(*(point - np.array(o.position[:2]))) for o in scene.things if o.slot != thing.slot]
        cabinet = float(np.hypot(point[0] - CABINET[0], point[1] - CABINET[1])) - 0.06
        gap = min([*others, cabinet, float(np.hypot(*(point - spot)))])
        if gap > best_gap:
            best, best_gap = point, float(gap)
    return best


def _push(scene: Scene, goal: Goal, rng: np.random.Generator, wish: str) -> list[Waypoint]:
    """With closed fingers, shove the object across the plate's edge; a near miss stops while it is still on it."""
    thing = scene.thing(goal.moved)
    start = np.array(thing.position[:2])
    side = 1.0 if start[0] <= 0.03 else -1.0
    direction = np.array([side, rng.uniform(-0.25, 0.25)])
    direction /= np.linalg.norm(direction)
    out = PLATE_RADIUS + 0.055 + rng.uniform(0, 0.03) + float(np.dot(np.array(scene.plate) - start, direction))
    travel = rng.uniform(0.0, 0.045) if wish == "near_miss" else out
    height = PLATE_HEIGHT + 0.022
    if wish == "dropped":  # passes beside the object
        start = start + np.array([-direction[1], direction[0]]) * rng.choice([-1, 1]) * 0.13
    begin = start - direction * 0.075
    end = start + direction * (travel - 0.042)
    high = (float(begin[0]), float(begin[1]), HOVER)
    return [
        Waypoint(high, CLOSED),
        Waypoint((high[0], high[1], height), CLOSED, 1),
        Waypoint((float(end[0]), float(end[1]), height), CLOSED, 3),
        Waypoint((float(end[0]), float(end[1]), HOVER), CLOSED),
    ]


def _drawer(scene: Scene, goal: Goal, rng: np.random.Generator, wish: str) -> list[Waypoint]:
    """Grip the handle and pull or push; a near miss stops half way, a `dropped` one misses the handle."""
    travel = 0.10
    x, y = CABINET[0], CABINET[1] - 0.066 - scene.drawer * travel
    if wish == "dropped":
        x += rng.uniform(0.035, 0.05)
    target = 1.0 if goal.family == "open" else 0.0
    if wish == "near_miss":
        target = scene.drawer + (target - scene.drawer) * rng.uniform(0.2, 0.55)
    moved = y - (target - scene.drawer) * travel - (0.004 if target == 1.0 else -0.004 if target == 0.0 else 0.0)
    level = 0.085
    at = _noisy((x, y, level), rng)
    return [
        Waypoint((at[0], at[1], HOVER), OPEN),
        Waypoint(at, OPEN, 2),
        Waypoint(at, 0.002, 6),
        Waypoint((at[0], moved, level), 0.002, 4),
        Waypoint((at[0], moved, level), OPEN, 4),
    ]
