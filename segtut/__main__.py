"""``python -m segtut``, which is what ``accelerate launch -m segtut`` runs."""

import sys

from segtut.cli import main

sys.exit(main())
