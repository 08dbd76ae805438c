import numpy as np
from PIL import Image

from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.duplicates import split_duplicates


def test_equal_and_nearly_equal_images_across_the_split_are_found(class_folders):
    for split in ("train", "test"):
        for name in ("Forest", "River", "Town"):
            (class_folders / split / name).mkdir(parents=True)
    for file in sorted(class_folders.glob("[FRT]*/*.png")):
        split = "test" if int(file.stem.split("_")[1]) >= 8 else "train"
        file.rename(class_folders / split / file.parent.name / file.name)
    for name in ("Forest", "River", "Town"):
        (class_folders / name).rmdir()
    assert split_duplicates(open_set(DataSpec(str(class_folders)), ())) == ()

    original = class_folders / "train" / "River" / "River_2.png"
    Image.open(original).save(class_folders / "test" / "Town" / "copy.png", compress_level=1)
    Image.open(class_folders / "train" / "Town" / "Town_3.png").save(
        class_folders / "test" / "Town" / "near.jpg", quality=95, subsampling=0
    )
    sea = Image.fromarray(np.full((32, 32, 3), 90, np.uint8))
    noise = np.random.default_rng(0).integers(-2, 3, (2, 32, 32, 3))
    for part, (split, name) in enumerate((("train", "sea_a"), ("test", "sea_b"))):
        plain = (np.asarray(sea).astype(int) + noise[part]).astype(np.uint8)
        Image.fromarray(plain).save(class_folders / split / "River" / f"{name}.png")

    found = split_duplicates(open_set(DataSpec(str(class_folders)), ()))
    assert [(d.test, d.train, d.exact) for d in found] == [
        ("test/Town/copy.png", "train/River/River_2.png", True),
        ("test/Town/near.jpg", "train/Town/Town_3.png", False),
    ]
    assert found[0].test_label != found[0].train_label
