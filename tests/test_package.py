"""The package as a whole: light to import, typed, documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from types import ModuleType

import pytest

import segtut

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(segtut.__path__, "segtut.")
    if module.name != "segtut.__main__"
)
# What costs seconds, or is optional, and is therefore imported where it is used.
HEAVY = {
    "IPython",
    "accelerate",
    "anywidget",
    "ipywidgets",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pooch",
    "safetensors",
    "scipy",
    "skimage",
    "sklearn",
    "torchmetrics",
    "tqdm",
}


def imported_by(statement: str, after: str = "") -> set[str]:
    """The top-level modules that a statement adds to those of `after`, in a fresh Python."""
    code = f"""
import sys
{after}
before = set(sys.modules)
{statement}
print(*{{name.partition(".")[0] for name in set(sys.modules) - before}})
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    found = imported_by("import segtut")
    assert "segtut" in found
    assert not found & (HEAVY | {"torch", "torchvision", "numpy", "PIL"})


def test_importing_its_rooms_adds_nothing_heavy_to_torch() -> None:
    rooms = "import segtut.training, segtut.cli, segtut.exercises, segtut.inference"
    found = imported_by(rooms, after="import torch, torchvision.models")
    assert "segtut" in found
    assert not found & HEAVY


def test_version_is_that_of_the_installed_package() -> None:
    assert segtut.__version__ == version("segtut")


def test_types_are_shipped() -> None:
    assert files("segtut").joinpath("py.typed").is_file()


def public_members(module: ModuleType) -> dict[str, object]:
    """Public functions and classes that are written in this module."""
    found: dict[str, object] = {}
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member) or inspect.isclass(member):
            found[name] = member
    return found


@pytest.mark.parametrize("name", ["segtut", *MODULES])
def test_everything_public_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    bare = []
    for member_name, member in public_members(module).items():
        text = (member.__doc__ or "").strip()
        # A dataclass without a docstring gets its signature for one.
        if not text or text.startswith(f"{member_name}("):
            bare.append(member_name)
    assert not bare, f"without a docstring in {name}: {', '.join(bare)}"


@pytest.mark.parametrize("name", ["segtut.data", "segtut.models", "segtut.exercises"])
def test_what_a_room_offers_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, offered) for offered in module.__all__)
