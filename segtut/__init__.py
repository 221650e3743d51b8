"""Image segmentation, from a neuron to networks that label every pixel.

The code behind the book of the same repository: data sets, networks, losses, metrics, one training
loop, and the figures. Import the room you need, as in ``from segtut.models import UNet``; importing
``segtut`` itself loads nothing else.
"""

from importlib.metadata import version

__version__ = version("segtut")
