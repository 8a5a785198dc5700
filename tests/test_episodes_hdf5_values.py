"""Values in HDF5 files are read past h5py's high-level calls, and come out the same."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from robo_episodes.hdf5 import opened
from robo_episodes.scope import plain

VALUES = {
    "text": "héllo",
    "empty": "",
    "fixed": np.bytes_(b"ab"),
    "number": 3,
    "half": 2.5,
    "flag": True,
    "big-endian": np.array(7, ">i4"),
    "list": [1, 2],
    "words": ["a", "b"],
    "none": np.zeros(0),
    "nothing": h5py.Empty("f"),
}


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "any.h5", "w") as file:
        file.attrs.update(VALUES)
        file.attrs.create("broken", b"\xff\xfe", dtype=h5py.string_dtype())
        file["rewards"], file["flags"] = np.array([0, 1], ">f8"), np.array([True, False])
        file["texts"] = np.array(["x"], h5py.string_dtype())
        file.create_dataset("unwritten", (3,), "f4")
    return tmp_path / "any.h5"


@pytest.mark.parametrize("name", [*VALUES, "broken"])
def test_an_attribute_is_what_h5py_makes_of_it(path, name):
    with h5py.File(path) as file:
        known = file.attrs[name]
    with opened(path) as tree:
        found = tree.attribute("/", "/", name)
    assert (type(found), plain(found)) == (type(known), plain(known))


@pytest.mark.parametrize("name", ["rewards", "flags", "texts", "unwritten"])
def test_a_small_dataset_is_what_h5py_makes_of_it(path, name):
    with h5py.File(path) as file:
        known = file[name][()]
    with opened(path) as tree:
        found = tree.array("/", name)
    assert (found.dtype, found.tolist()) == (known.dtype, known.tolist())
