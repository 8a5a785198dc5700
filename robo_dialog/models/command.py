"""`robo-dialog models`: what a model store holds and which of it is served; what a checkpoint can do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from robo_dialog.errors import ConfigError, UnknownVersionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from robo_dialog.detect.store import ModelStore, Pointers, StoredModel

_NEEDED = {"publish": "the folder of a bundle", "promote": "a version", "diff": "a version"}
"""What must follow the store."""
_OPTIONAL = frozenset({"show", "lineage", "diff"})


@dataclass(frozen=True)
class Models:
    """List, publish, promote, roll back and compare the models of a store; check what a checkpoint can be used for.

    `list STORE`, `publish STORE BUNDLE`, `promote STORE VERSION`, `rollback STORE`, `show STORE [VERSION]`,
    `lineage STORE [VERSION]`, `diff STORE VERSION [VERSION]`; a version that is left out is the champion. A server of
    the store (`robo-dialog serve --store STORE`) follows within seconds, after it has checked the candidate itself.

    `check MODEL` plays two games with a vision-language model, tunes it for two steps, exports what came of it and asks
    the export for verdicts; no files are left.
    """

    action: tyro.conf.Positional[Literal["list", "publish", "promote", "rollback", "show", "lineage", "diff", "check"]]
    """What to do."""
    store: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STORE|MODEL")]
    """Folder of the store, which `publish` makes; for `check`, folder or hub name of a model, or `tiny`."""
    target: tyro.conf.Positional[str | None] = None
    """Folder of the bundle to publish, or a version."""
    other: tyro.conf.Positional[str | None] = None
    """Version to compare with."""
    device: str | None = None
    """Torch device for `check`; by default a GPU where there is one."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Do it, then list the store; or show what was asked for."""
        from robo_dialog.detect.store import ModelStore

        self._check()
        if self.action == "check":
            from robo_dialog.models.checking import checked

            return checked(str(self.store), device=self.device, as_json=self.json)
        store = ModelStore.create(self.store) if self.action == "publish" else ModelStore(self.store)
        match self.action:
            case "show":
                self._print_facts(store)
            case "lineage":
                self._print_line(store)
            case "diff":
                self._print_differences(store)
            case _:
                self._change(store)
                self._print_list(store.versions(), store.pointers())
        return 0

    def _check(self) -> None:
        if self.target is None and self.action in _NEEDED:
            raise ConfigError(f"{self.action}: needs {_NEEDED[self.action]} after the store, got None")
        if self.target is not None and self.action not in _NEEDED.keys() | _OPTIONAL:
            raise ConfigError(f"{self.action}: needs nothing after the store, got {self.target}")
        if self.other is not None and self.action != "diff":
            raise ConfigError(f"{self.action}: takes one version at most, got {self.other} too")

    def _change(self, store: ModelStore) -> None:
        match self.action:
            case "publish":
                store.publish(Path(str(self.target)))
            case "promote":
                store.promote(str(self.target))
            case "rollback":
                store.rollback()

    def _print_facts(self, store: ModelStore) -> None:
        from robo_dialog.detect.store_facts import facts

        found = facts(store, self.target or _champion(store))
        if self.json:
            print(json.dumps(found))
        else:
            _print_table(("", ""), [(name, _text(value)) for name, value in found.items()])

    def _print_differences(self, store: ModelStore) -> None:
        from robo_dialog.detect.store_facts import differences, facts

        versions = str(self.target), self.other or _champion(store)
        found = differences(*(facts(store, version) for version in versions))
        if self.json:
            print(json.dumps({name: list(values) for name, values in found.items()}))
        else:
            rows = [(name, *map(_text, values)) for name, values in found.items()]
            _print_table(("", *versions), rows)

    def _print_line(self, store: ModelStore) -> None:
        from robo_dialog.detect.store_facts import ancestry

        self._print_list(ancestry(store, self.target or _champion(store)), store.pointers())

    def _print_list(self, models: Sequence[StoredModel], pointers: Pointers) -> None:
        if self.json:
            print(json.dumps(_as_json(models, pointers)))
            return
        rows = [
            (one.version, one.manifest.name, f"{one.published:%Y-%m-%d %H:%M}", _role(one, pointers)) for one in models
        ]
        _print_table(("version", "model", "published", ""), rows)


def _champion(store: ModelStore) -> str:
    champion = store.pointers().champion
    if champion is None:
        raise UnknownVersionError(f"{store.root}: has no champion yet; name a version")
    return champion


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _as_json(models: Sequence[StoredModel], pointers: Pointers) -> Mapping[str, object]:
    return {
        "champion": pointers.champion,
        "previous": pointers.previous,
        "models": [
            {
                "version": model.version,
                "name": model.manifest.name,
                "digest": model.manifest.digest,
                "published": model.published.isoformat(),
                "base_model": model.manifest.lineage.base_model,
                "metrics": dict(model.manifest.lineage.metrics),
            }
            for model in models
        ],
    }


def _role(model: StoredModel, pointers: Pointers) -> str:
    return {pointers.champion: "champion", pointers.previous: "previous"}.get(model.version, "")
