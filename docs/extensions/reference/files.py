"""Formats of files, from the pydantic models and Parquet schemas that read and write them."""

import inspect
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import zfscope.bulk.manifest
import zfscope.images.normalise
import zfscope.networks.layers
import zfscope.networks.spec
import zfscope.probe.manifest
import zfscope.probe.plan
import zfscope.scan.manifest
import zfscope.store.manifest
import zfscope.store.store
import zfscope.training.recipe
from reference.markdown import anchor, code, sentence, table, text
from zfscope.bulk import tables as bulk_tables
from zfscope.bulk.manifest import RUN, RunManifest
from zfscope.page.documentation import type_of
from zfscope.probe import features as probe_features
from zfscope.probe.manifest import FEATURES, RESULT, ROWS, FeatureManifest, ProbeResult
from zfscope.scan import tables as scan_tables
from zfscope.scan.manifest import INDEX, IndexManifest
from zfscope.store.manifest import MANIFEST, Manifest
from zfscope.store.store import STORE_SETTINGS, StoreSettings
from zfscope.text import split_fields
from zfscope.training.recipe import Recipe

# Modules of the models that a manifest contains.
_MODULES: tuple[ModuleType, ...] = (
    zfscope.bulk.manifest,
    zfscope.images.normalise,
    zfscope.networks.layers,
    zfscope.networks.spec,
    zfscope.probe.manifest,
    zfscope.probe.plan,
    zfscope.scan.manifest,
    zfscope.store.manifest,
    zfscope.store.store,
    zfscope.training.recipe,
)
Schema = Mapping[str, Any]


def model_files() -> str:
    """Return the files of the model store."""
    manifest = Manifest.model_json_schema()
    parts = [_object(name, schema) for name, schema in _definitions(manifest)]
    head = f"## {STORE_SETTINGS}\n\n{_described('StoreSettings', StoreSettings.model_json_schema())}"
    return f"{head}## {MANIFEST}\n\n{_described('Manifest', manifest)}{''.join(parts)}"


def index_files() -> str:
    """Return the files of an index."""
    manifest = IndexManifest.model_json_schema()
    known = {name for name, _ in _definitions(Manifest.model_json_schema())}
    parts = [_object(name, schema) for name, schema in _definitions(manifest) if name not in known]
    tables = [_parquet(name, columns) for name, columns in scan_tables.TABLES.items()]
    head = f"## {INDEX}\n\n{_described('IndexManifest', manifest)}"
    return "".join([head, *parts, *tables])


def run_files() -> str:
    """Return the files of a run."""
    manifest = RunManifest.model_json_schema()
    known = {name for name, _ in _definitions(IndexManifest.model_json_schema())}
    parts = [_object(name, schema) for name, schema in _definitions(manifest) if name not in known]
    own = {name: columns for name, columns in bulk_tables.TABLES.items() if name not in scan_tables.TABLES}
    tables = [_parquet(name, columns) for name, columns in own.items()]
    return "".join([f"## {RUN}\n\n{_described('RunManifest', manifest)}", *parts, *tables])


def probe_files() -> str:
    """Return the files of a probe."""
    manifest, result = FeatureManifest.model_json_schema(), ProbeResult.model_json_schema()
    known = {name for name, _ in _definitions(IndexManifest.model_json_schema())} | {"FeatureManifest"}
    parts = {name: _object(name, schema) for name, schema in _definitions(result) if name not in known}
    own = {name: part for name, part in parts.items() if name in manifest["$defs"]}
    others = [part for name, part in parts.items() if name not in own]
    features = f"{anchor('FeatureManifest')}## {FEATURES}\n\n{_described('FeatureManifest', manifest)}"
    head = f"## {RESULT}\n\n{_described('ProbeResult', result)}"
    return "".join([head, *others, features, *own.values(), _parquet(ROWS, probe_features.ROW_COLUMNS)])


def recipes() -> str:
    """Return the members of a recipe."""
    recipe = Recipe.model_json_schema()
    parts = [_object(name, schema) for name, schema in _definitions(recipe)]
    return _described("Recipe", recipe) + "".join(parts)


def _definitions(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the objects that a schema refers to."""
    yield from schema.get("$defs", {}).items()


def _object(name: str, schema: Schema) -> str:
    return f"{anchor(name)}### `{name}`\n\n{_described(name, schema)}"


def _described(name: str, schema: Schema) -> str:
    """Return the description and the members of an object; docstrings of classes describe the members."""
    kind, members = _class(name), schema.get("properties", {})
    paragraphs, _ = split_fields(inspect.getdoc(kind) or "", members)
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        meanings |= split_fields(inspect.cleandoc(vars(base).get("__doc__") or ""), members or ["-"])[1]
    about = "".join(f"{text(each)}\n\n" for each in paragraphs if not each.startswith("Raises"))
    return about + (_members(schema, meanings) if members else f"{type_of(schema).capitalize()}.\n\n")


def _class(name: str) -> type:
    return next(vars(module)[name] for module in _MODULES if name in vars(module))


def _members(schema: Schema, meanings: Mapping[str, str]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            code(name),
            type_of(member),
            "required" if name in required else _default(member),
            text(sentence(meanings.get(name, member.get("description", "")))),
        )
        for name, member in schema["properties"].items()
    ]
    return table(("member", "type", "default", "meaning"), rows)


def _default(member: Schema) -> str:
    return code(json.dumps(member["default"])) if "default" in member else ""


def _parquet(name: str, columns: Any) -> str:
    meanings = {**scan_tables.MEANINGS, **bulk_tables.MEANINGS, **probe_features.MEANINGS}
    rows = [(code(field.name), str(field.type), text(meanings[field.name])) for field in columns]
    return f"## {name}\n\n{table(('column', 'type', 'meaning'), rows)}"
