import io

import numpy as np
import pytest
from PIL import Image

from core.evaluation.data.images import area_resize, centred_square
from core.evaluation.data.storage import decode
from core.evaluation.errors import LabelledSetError


@pytest.mark.parametrize("size", [1, 7, 16, 31, 64, 100, 224])
def test_area_resize_is_adaptive_averaging_as_torch_has_it(size):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).random((2, 3, 64, 48)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(image), size=(size, size), mode="area").numpy()
    assert np.abs(area_resize(image, size) - theirs).max() < 1e-6


def test_area_resize_keeps_the_mean_and_the_picture_of_its_own_size():
    image = np.random.default_rng(1).random((3, 64, 64)).astype(np.float32)
    assert np.allclose(area_resize(image, 16).mean(axis=(1, 2)), image.mean(axis=(1, 2)), atol=1e-6)
    assert area_resize(image, 64).tobytes() == image.tobytes()


def test_the_centred_square_is_cut_from_the_middle():
    image = np.zeros((1, 4, 10), np.float32)
    image[:, :, 3:7] = 1
    assert centred_square(image).shape == (1, 4, 4)
    assert centred_square(image).min() == 1


@pytest.mark.parametrize(
    ("dtype", "ending"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF"), (np.float32, "TIFF")]
)
def test_images_with_more_than_8_bits_are_skipped(dtype, ending):
    content = io.BytesIO()
    Image.fromarray((1000 * np.random.default_rng(0).random((8, 8))).astype(dtype)).save(content, ending)
    with pytest.raises(LabelledSetError, match=r"'deep' has more than 8 bits .* save it as 8 bits, 0 to 255"):
        decode(content.getvalue(), "deep")


def test_reason_for_an_unreadable_image_is_stable():
    reasons = set()
    for _ in range(2):
        with pytest.raises(LabelledSetError) as problem:
            decode(b"not a picture" * 9, "x.png")
        reasons.add(str(problem.value))
    assert reasons == {
        "'x.png' cannot be read as an image (its format is unknown, or it does not have 8 bits); "
        "replace or remove it."
    }
