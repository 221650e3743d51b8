"""Networks and unfinished runs on disk: safetensors files with a JSON description in the header.

Nothing is unpickled, so a file from a stranger can at worst be wrong. Every file is written beside
its final name and then renamed, so that a reader finds the old one or the new one, never a half.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segtut import models

_HEADER = "segtut"


@dataclass(frozen=True)
class Description:
    """What must be known to rebuild a network and to read its output.

    ``model`` and ``options`` are the arguments of :func:`segtut.models.build`; ``classes`` and
    ``palette`` name and color the labels; ``shorter`` is the shorter side, in pixels, to which
    images were resized before the network saw them (``None``: their own size).
    """

    model: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    options: dict[str, Any] = field(default_factory=dict)
    shorter: int | None = None

    def build(self) -> nn.Module:
        """The network, untrained."""
        return models.build(self.model, len(self.classes), **self.options)


def save_model(path: str | Path, model: nn.Module, description: Description) -> None:
    """Write the weights of ``model`` and its ``description`` to one safetensors file."""
    write(path, model.state_dict(), {"kind": "model", "description": asdict(description)})


def load_model(path: str | Path) -> tuple[nn.Module, Description]:
    """Read what :func:`save_model` wrote; the network comes back on the CPU, in evaluation mode.

    Raises ``FileNotFoundError`` where there is no file, and ``ValueError`` where the file is no
    such model or its weights do not fit the network it describes.
    """
    tensors, header = read(path)
    if header.get("kind") != "model":
        raise ValueError(
            f"{path} holds a {header.get('kind', 'file of another program')}, not a trained model; "
            "`segtut train` writes the model as model.safetensors"
        )
    found = header["description"]
    description = Description(
        model=found["model"],
        classes=tuple(found["classes"]),
        palette=tuple((r, g, b) for r, g, b in found["palette"]),
        options=found["options"],
        shorter=found["shorter"],
    )
    model = description.build()
    load_weights(model, tensors, source=str(path))
    return model.eval(), description


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy ``tensors`` into ``model``; ``ValueError`` names the first one that does not fit."""
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(
                f"{source} has no tensor {name!r}: it is a checkpoint of another model"
            )
        if name not in expected:
            raise ValueError(
                f"{source} has a tensor {name!r} that this model does not know: "
                "it is a checkpoint of another model"
            )
        if expected[name].shape != tensors[name].shape:
            raise ValueError(
                f"{source}: tensor {name!r} has shape {tuple(tensors[name].shape)} where this "
                f"model has {tuple(expected[name].shape)}: other options or other classes"
            )
    model.load_state_dict(tensors)


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON header to ``path``, aside first, then renamed into place."""
    from safetensors.torch import save

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Written here and not by safetensors, whose errors hide that a disk is full.
    content = save(contiguous, metadata={_HEADER: json.dumps(header)})
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException as error:
        Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not say what was to be written
        raise


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON header of a file that :func:`write` wrote; ``ValueError`` for any other."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; `segtut train --output DIR` writes one")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is a safetensors file, but segtut did not write it")
    return tensors, header
