"""Small recordings in the layouts of their writers, made on the fly."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import h5py
import numpy as np


def scene(seed: int, height: int = 32, width: int = 40) -> np.ndarray:
    """A picture whose top is bright, whose left is red and whose every seed is different."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2] = 160
    image[:, : width // 2, 0] += 80
    image[height // 2 :, width // 2 :, 1] = seed * 37 % 200
    image[height // 2 :, width // 2 :, 2] = seed * 11 % 200
    return image


def gray(step: int, size: int = 32) -> np.ndarray:
    return np.full((size, size, 3), step * 4 % 256, np.uint8)


def write_video(path: Path, frames, *, codec="libx264", gop=10, rotation=0, **options) -> Path:
    """Write frames at 10 Hz; `options` go to the muxer (`movflags="faststart"`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2] if len(frames) else (32, 32)
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        if rotation:
            stream.set_display_rotation(rotation)
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def all_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_robomimic(path: Path, demos: dict[str, dict], *, next_obs=True, env_args=None, chunks=True) -> Path:
    """Write demos given as {"frames": [images of T+1 moments], "attrs": {...}, "rewards": [...]}."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(
            env_args or {"env_name": "Lift", "type": 1, "env_kwargs": {"camera_names": ["agentview"]}}
        )
        for name, demo in demos.items():
            group, stack = data.create_group(name), np.stack(demo["frames"])
            options = {"chunks": (1, *stack.shape[1:]), "compression": "gzip"} if chunks else {}
            group.create_dataset("obs/agentview_image", data=stack[:-1], **options)
            if next_obs:
                group.create_dataset("next_obs/agentview_image", data=stack[1:], **options)
            group["actions"] = np.zeros((len(stack) - 1, 7), np.float32)
            if "rewards" in demo:
                group["rewards"] = np.asarray(demo["rewards"], np.float64)
            for key, value in {"num_samples": len(stack) - 1, **demo.get("attrs", {})}.items():
                group.attrs[key] = value
    return path


def demo(first_seed: int, count: int = 4, **content) -> dict:
    """A demo of `count` moments, for `write_robomimic`."""
    return {"frames": [scene(first_seed * 10 + step) for step in range(count)], **content}


def write_libero(path: Path, demos: int = 2, *, convention: str | None = "opengl", attrs=True) -> Path:
    """Write upside-down frames as LIBERO does, with its success on the last step of every demo."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if attrs:
            data.attrs["problem_info"] = json.dumps({"language_instruction": "open the drawer"})
            data.attrs["bddl_file_name"] = "x.bddl"
        if convention is not None:
            data.attrs["macros_image_convention"] = convention
        for index in range(demos):
            group = data.create_group(f"demo_{index}")
            frames = np.stack([scene(index * 10 + step)[::-1] for step in range(3)])
            group["obs/agentview_rgb"] = frames
            group["dones"] = group["rewards"] = np.array([0, 0, 1], np.uint8)
    return path


def write_aloha(path: Path, *, compress: bool, frames=None) -> Path:
    """Write one episode; compressed rows are RGB arrays given to cv2.imencode, padded with zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [scene(step) for step in range(3)] if frames is None else frames
    with h5py.File(path, "w") as file:
        file.attrs["sim"], file.attrs["compress"] = False, compress
        images = file.create_group("observations/images")
        file["observations/qpos"] = np.zeros((len(frames), 14), np.float32)
        images["cam_high_depth"] = np.zeros((len(frames), 32, 40), np.uint16)
        if not compress:
            images["cam_high"] = np.stack(frames)
            return path
        encoded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for frame in frames]
        padded = np.zeros((len(frames), max(map(len, encoded))), np.uint8)
        for row, data in zip(padded, encoded, strict=True):
            row[: len(data)] = data
        images["cam_high"] = padded
    return path
