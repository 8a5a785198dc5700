"""A folder of bundles that never change, and which of them is served.

    versions/<version>/   a bundle; its version is the first 16 hex digits of its digest
    pointers.json         {"champion": version, "previous": version}, either may be null
    .lock                 held while something is written

Both pointers change in one rename, so whoever reads sees them before or after a change and never between. A version
appears complete or not at all, and is verified again by whoever loads it.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from robo_dialog.detect.bundle import read_bundle, write_bundle
from robo_dialog.detect.document import Document, canonical_json, parse_document
from robo_dialog.detect.durable import replace_file
from robo_dialog.detect.manifest import MANIFEST, Manifest, parse_manifest
from robo_dialog.detect.signature import SIGNATURE
from robo_dialog.errors import BundleError, StoreError, UnknownVersionError

POINTERS = "pointers.json"
VERSION_DIGITS = 16

_VERSIONS = "versions"
_LOCK = ".lock"
_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}")
_KEYS = ("champion", "previous")


@dataclass(frozen=True)
class Pointers:
    """Which version is served, and which was before it."""

    champion: str | None = None
    previous: str | None = None


@dataclass(frozen=True)
class StoredModel:
    """One version of a store."""

    version: str
    manifest: Manifest
    published: datetime
    """UTC."""


class ModelStore:
    """Reads and changes one store; several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        """Open the store in the folder `root`.

        Raises:
            StoreError: no folder is there; `create` makes one.
        """
        if not root.is_dir():
            raise StoreError(f"{root}: is no folder; publish a bundle there, or check the path")
        self.root = root

    @classmethod
    def create(cls, root: Path) -> ModelStore:
        """Open a store, making an empty one if there is none.

        Raises:
            StoreError: the folder cannot be made.
        """
        with _writing(root):
            (root / _VERSIONS).mkdir(parents=True, exist_ok=True)
        return cls(root)

    def path(self, version: str) -> Path:
        """Where the bundle of a version lies.

        Raises:
            UnknownVersionError: the store has no such version.
        """
        path = self.root / _VERSIONS / version
        if not _VERSION.fullmatch(version) or not path.is_dir():
            raise UnknownVersionError(f"{self.root}: has no version {version!r:.80}")
        return path

    def versions(self) -> list[StoredModel]:
        """All versions, oldest first; a folder without a readable manifest is left out, loading it would tell why."""
        folder = self.root / _VERSIONS
        folders = folder.iterdir() if folder.is_dir() else ()
        models = (_stored(path) for path in folders if _VERSION.fullmatch(path.name))
        return sorted((one for one in models if one is not None), key=lambda one: (one.published, one.version))

    def pointers(self) -> Pointers:
        """Which versions are champion and previous; nobody is in a new store.

        Raises:
            StoreError: the file was altered by hand into something else.
        """
        try:
            data = (self.root / POINTERS).read_bytes()
        except FileNotFoundError:
            return Pointers()
        except OSError as error:
            raise StoreError(f"{self.root / POINTERS}: cannot be read ({error.strerror})") from error
        try:
            document = parse_document(POINTERS, data, _KEYS)
            return Pointers(*(_version(document, key) for key in _KEYS))
        except BundleError as error:
            raise StoreError(f"{self.root / POINTERS}: names no versions; promote one again") from error

    def publish(self, bundle: Path) -> str:
        """Copy a bundle into the store and return its version; nobody is served by it yet.

        A bundle that is there already is left alone, but for a signature that it had not yet.

        Raises:
            BundleError: the bundle is damaged, or the store holds something else under its version.
            StoreError: the disk is full or not writable; nothing is left behind.
        """
        content = read_bundle(bundle)
        version = content.manifest.digest[:VERSION_DIGITS]
        with _writing(self.root):
            folder = self.root / _VERSIONS
            folder.mkdir(exist_ok=True)
            for leftover in folder.glob(".*.tmp"):  # of a publisher that was killed: the lock is ours
                shutil.rmtree(leftover, ignore_errors=True)
            name, lineage = content.manifest.name, content.manifest.lineage
            write_bundle(folder / version, name, lineage, content.contents, content.signature)
            if content.signature is not None:
                replace_file(folder / version / SIGNATURE, content.signature)
        return version

    def promote(self, version: str) -> Pointers:
        """Make a version the champion and the champion of before the previous one.

        Raises:
            UnknownVersionError: the store has no such version.
            StoreError: the pointers cannot be read or written; they stay as they are.
        """
        self.path(version)
        with _writing(self.root):
            now = self.pointers()
            if now.champion == version:
                return now
            return self._point(Pointers(champion=version, previous=now.champion))

    def rollback(self) -> Pointers:
        """Let champion and previous change places.

        Raises:
            UnknownVersionError: there is no previous version.
            StoreError: the pointers cannot be read or written; they stay as they are.
        """
        with _writing(self.root):
            now = self.pointers()
            if now.previous is None:
                raise UnknownVersionError(f"{self.root}: has no previous version to go back to")
            self.path(now.previous)
            return self._point(Pointers(champion=now.previous, previous=now.champion))

    def remove(self, versions: Iterable[str]) -> None:
        """Delete versions; champion and previous stay.

        Raises:
            UnknownVersionError: the store has no such version.
            StoreError: the disk is not writable.
        """
        with _writing(self.root):
            now = self.pointers()
            for version in set(versions) - {now.champion, now.previous}:
                gone = self.path(version).with_name(f".{version}.tmp")
                self.path(version).rename(gone)  # so that nobody finds half of it
                shutil.rmtree(gone)

    def _point(self, pointers: Pointers) -> Pointers:
        document = {"champion": pointers.champion, "previous": pointers.previous}
        replace_file(self.root / POINTERS, canonical_json(document))
        return pointers


def _version(document: Document, key: str) -> str | None:
    value = document.values[key]
    if value is None:
        return None
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        document.refuse(key, "a version or null")
    return value


def _stored(path: Path) -> StoredModel | None:
    try:
        manifest = parse_manifest((path / MANIFEST).read_bytes())
        published = datetime.fromtimestamp((path / MANIFEST).stat().st_mtime, UTC)
    except (OSError, BundleError):
        return None
    return StoredModel(path.name, manifest, published)


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Hold the store's lock; what the disk refuses is told with the store's name."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise StoreError(f"{root}: cannot be written ({error.strerror}); free some space or check its owner") from error
