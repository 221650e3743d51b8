"""What all interactive figures share: one script and style, class colors, a static picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segtut.data.dataset import RGB, VOID
from segtut.data.palette import VOID_COLOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_HERE = Path(__file__).parent
_INVENTED = (255, 0, 214)  # a label that is neither a class nor void; no palette has this color

# The picture stays hidden where the figure itself runs, and stands in for it on paper.
_STATIC_STYLE = (
    "<style>.segtut-static{display:none}.segtut-static img{max-width:100%}"
    ".text_html:has(>.segtut-static){background:none!important;padding:0!important}"
    "@media print{.segtut-static{display:block}}</style>"
    "<noscript><style>.segtut-static{display:block}</style></noscript>"
)


class Figure(anywidget.AnyWidget):
    """An interactive figure that runs in JupyterLab and, without a kernel, in the built page.

    A subclass names its script; `base.js` and the scripts it builds on are put before it, and
    `base.css` styles all figures. All state travels with the page, so it is held below 300 kB.
    """

    _script: ClassVar[str]
    _builds_on: ClassVar[tuple[str, ...]] = ()
    _largest_state: ClassVar[int] = 300_000
    _css = (_HERE / "base.css").read_text(encoding="utf-8")

    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colors = traitlets.Bytes().tag(sync=True)
    """256 RGB triples: the color of each label a byte can hold."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_script" in vars(cls):  # not in the classes that traitlets derives for an instance
            parts = (_HERE / name for name in ("base.js", *cls._builds_on, cls._script))
            cls._esm = "\n".join(part.read_text(encoding="utf-8") for part in parts)
        super().__init_subclass__(**kwargs)

    def static_picture(self) -> bytes:
        """A PNG that shows the figure's opening state, for print and for pages without scripts."""
        drawing = self._draw()
        drawing.set_facecolor("#fbfaf6")
        buffer = io.BytesIO()
        drawing.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        small = io.BytesIO()
        Image.open(buffer).convert("RGB").quantize(128).save(small, "PNG", optimize=True)
        return small.getvalue()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        raise NotImplementedError

    def _draw(self) -> Drawing:
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)
        display(HTML(self.static_html()))

    def static_html(self) -> str:
        """The static picture as HTML; a style of its own shows it in print and without scripts."""
        data = base64.b64encode(self.static_picture()).decode("ascii")
        return (
            f'<div class="segtut-static"><img alt="{html.escape(self.alternative_text())}" '
            f'src="data:image/png;base64,{data}"></div>{_STATIC_STYLE}'
        )

    def _require_light_state(self) -> None:
        """Raise ValueError when the page would have to carry too much."""
        weight = state_weight(self)
        if weight > self._largest_state:
            raise ValueError(
                f"{type(self).__name__} would put {weight // 1000} kB into the page, expected at "
                f"most {self._largest_state // 1000} kB: give it smaller or fewer pictures"
            )


def state_weight(figure: Figure) -> int:
    """Bytes that the figure's state takes in a page, binary traits as base64."""
    weight = 0
    for value in figure.get_state().values():
        if isinstance(value, (bytes, memoryview)):
            weight += (len(value) + 2) // 3 * 4
        else:
            weight += len(str(value))
    return weight


def color_table(palette: Sequence[RGB]) -> bytes:
    """RGB of all 256 labels: the palette, void's own color, a loud one for every other."""
    table = np.empty((256, 3), dtype=np.uint8)
    table[:] = _INVENTED
    table[: len(palette)] = palette
    table[VOID] = VOID_COLOR
    return table.tobytes()


def label_array(target: Tensor, num_classes: int, name: str, ndim: int = 2) -> NDArray[np.uint8]:
    """A label map as bytes. target: integers (..., H, W), classes or 255.

    Raises ValueError for other dimensions or labels; `name` is used in the text.
    """
    labels = np.asarray(torch.as_tensor(target).cpu())
    if labels.ndim != ndim:
        expected = {2: "(H, W)", 3: "(K, H, W)", 4: "(S, K, H, W)"}[ndim]
        raise ValueError(f"{name} has the shape {labels.shape}, expected {expected}")
    strange = labels[(labels != VOID) & ((labels < 0) | (labels >= num_classes))]
    if strange.size:
        raise ValueError(
            f"{name} holds the label {strange.flat[0]}, expected 0 to {num_classes - 1} or {VOID}: "
            "pass the classes of the data set"
        )
    return np.ascontiguousarray(labels.astype(np.uint8))


def image_array(image: Tensor, name: str) -> NDArray[np.uint8]:
    """An image as bytes (H, W, 3). image: uint8 (3, H, W). Raises ValueError for another."""
    pixels = torch.as_tensor(image)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != torch.uint8:
        raise ValueError(
            f"{name} is {pixels.dtype} of shape {tuple(pixels.shape)}, expected uint8 (3, H, W)"
        )
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def street_arrays(
    images: Tensor, targets: Tensor, names: Sequence[str], num_classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures (S, H, W, 3) and labels (S, H, W) as bytes.

    images: uint8 (S, 3, H, W); targets: integers (S, H, W), classes or 255; names: one a street.
    Raises ValueError where they do not fit each other.
    """
    labels = label_array(targets, num_classes, "targets", ndim=3)
    pictures = np.stack([image_array(image, f"images[{k}]") for k, image in enumerate(images)])
    if pictures.shape[:3] != labels.shape or len(names) != len(labels):
        raise ValueError(
            f"{len(names)} names, images {tuple(pictures.shape)} and targets {labels.shape} "
            "were given, expected one name and one size for each street"
        )
    return pictures, labels


def check_classes(classes: Sequence[str], palette: Sequence[RGB]) -> None:
    """Raise ValueError unless there is one color a class."""
    if len(classes) != len(palette):
        raise ValueError(
            f"{len(classes)} classes and {len(palette)} colors were given, expected one color each"
        )


def jpeg_url(pixels: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as a data URL that takes a few kilobytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
