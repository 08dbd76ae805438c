"""The text of the lessons about embeddings."""

from __future__ import annotations

from ..measured import vectors
from ..questions import Choice, Number, Place, Ranking
from ..spec import Deeper, Lesson, Options, Slider

CONTEXT = Lesson(
    id="context",
    title="Context changes a patch",
    minutes=5,
    prose=(
        "Inside the network every patch becomes a vector, and every patch looks at all the others on the "
        "way.",
        "Cut one patch out of an image and paste it, pixel for pixel, into another.",
        "Its pixels stay the same, but its neighbours are new.",
    ),
    terms=("patch", "embedding", "cosine"),
    ask="One patch of the salt ponds is pasted into three other images. How large, on average, is the "
    "cosine between its vector at home and its vector there?",
    question=Number("", -1, 1, 0.1),
    setup=vectors.show_scenes,
    try_this="Choose another patch: one on flat water, one on an edge.",
    controls=(
        Slider("row", "Row of the patch", 1, 14, 1, 3),
        Slider("column", "Column of the patch", 1, 14, 1, 3),
    ),
    explore=vectors.measure_context,
    measure=vectors.measure_context,
    conclude=vectors.conclude_context,
    claim="The same pixels get a different vector in another scene, but it is still closer to the one at "
    "home than the vector of the patch that they replaced.",
    debrief="Attention mixes every patch with its scene, so a patch vector describes the patch in its place. "
    "That "
    "is useful for telling a roof in a city from a rock in a desert, and it is a trap for searching by "
    "patch: two "
    "equal patches are not equal vectors.",
    deeper=Deeper(
        "Each block of the encoder replaces a token $z_i$ by a weighted sum over all tokens. The weights "
        "depend on "
        "the whole image, so $z_i$ does too after the first block.",
        r"z_i \leftarrow z_i + \sum_j \mathrm{softmax}_j\!\left(\frac{q_i \cdot k_j}{\sqrt{d}}\right) v_j",
        "Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv 1706.03762",
    ),
    place="Scale Lab",
)

GLOBE = Lesson(
    id="globe",
    title="From vector to globe",
    minutes=5,
    prose=(
        "An image of 64 x 64 pixels becomes one vector, and a table holds the vectors of places all over the "
        "Earth.",
        "Places whose vectors point the same way look alike to the network.",
        "Nobody told it where on Earth a place lies.",
    ),
    terms=("embedding", "nearest neighbours", "cosine"),
    ask="Take a place in the middle of the Sahara. Its 100 nearest neighbours are the places whose vectors "
    "are most like its own. Name a place more than 2,000 km away that you expect to be near one of them.",
    question=Place(1000),
    setup=vectors.show_region,
    try_this="Start from regions other than the Sahara, and see where their look-alikes lie on the map.",
    controls=(Options("region", "Region", vectors.OTHER_REGIONS),),
    explore=vectors.measure_far,
    measure=vectors.measure_far,
    conclude=vectors.conclude_far,
    claim="The most similar places are not only nearby ones: some lie in another part of the Earth.",
    debrief="The network has learned what places look like, not where they are. Distant look-alikes are "
    "what makes it useful for mapping: mark one desert, and it finds the others. They are also a warning, "
    "because two "
    "places "
    "that look alike from above need not be alike on the ground.",
    deeper=Deeper(
        "The table was embedded with scale_contrast_tiny from NASA's Blue Marble at 15 km per pixel; it does "
        "not "
        "depend on the network chosen above. The search is exact: one cosine for every row.",
        r"\mathrm{cos}(u, v) = \frac{u \cdot v}{\lVert u \rVert \, \lVert v \rVert}",
        "Chen et al., A Simple Framework for Contrastive Learning, ICML 2020, arXiv 2002.05709",
    ),
    place="Globe",
)

ORDER = Lesson(
    id="order",
    title="Reconstructing is not knowing",
    minutes=6,
    prose=(
        "A network that fills gaps well must have understood the scene, one might think.",
        "kNN tests that: it names the region of an image by a vote of the labelled images with the most "
        "similar "
        "vectors.",
        "mae_tiny and scale_mae_tiny learned by filling gaps; scale_contrast_tiny has no decoder and cannot "
        "fill any.",
    ),
    terms=("kNN", "embedding", "decoder", "contrastive", "PSNR"),
    ask="Order the three networks by their kNN accuracy on images of ten regions of the Earth, best first.",
    question=Ranking(vectors.MODELS),
    setup=vectors.show_regions,
    try_this="Look at what the two networks with a decoder make of a half-hidden image. Does it tell you "
    "which of them knows more?",
    controls=(Options("network", "Reconstructed by", vectors.MODELS[:2]),),
    explore=vectors.try_network,
    measure=vectors.measure_order,
    conclude=vectors.conclude_order,
    claim="The network that is best by kNN is not the one that reconstructs best.",
    debrief="Filling gaps rewards getting nearby pixels exactly right. Telling regions apart needs what "
    "stays the same over a whole scene. A contrastive network is trained for just that. Judge a network "
    "by the task that "
    "you need "
    "it for, not by its prettiest output.",
    deeper=Deeper(
        "Each of the $k$ nearest labelled images votes with a weight that grows with its cosine $s_i$; "
        "$\\tau = 0.07$.",
        r"\hat{y} = \arg\max_c \sum_{i \in N_k} e^{s_i / \tau} \, [y_i = c]",
        "Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, "
        "arXiv 1805.01978",
    ),
    place="Evaluate",
)

MARKS = Lesson(
    id="marks",
    title="Ten marks make a map",
    minutes=6,
    prose=(
        "With good vectors, a few examples are enough to map something over the whole Earth.",
        "Here tiles of the globe are marked “water” or “no water”, and a classifier gives every other tile a "
        "probability.",
        "A probability is only useful if it is calibrated.",
    ),
    terms=("embedding", "calibrated", "calibration error"),
    ask="After how many marks is the calibration error below 0.05?",
    question=Number("marks", 2, 100, 2, factor=True),
    setup=vectors.show_marks,
    try_this="Change the number of marks. The error is the mean of three draws.",
    controls=(Options("count", "Marks", tuple(map(str, vectors.COUNTS))),),
    explore=vectors.try_marks,
    measure=vectors.measure_marks,
    conclude=vectors.conclude_marks,
    claim="More marks make the probabilities better calibrated, and a few dozen are enough.",
    debrief="The network has done most of the work before the first mark: it has put similar tiles close "
    "together. "
    "Marks only have to say which corner of that space is meant. The first few give a usable ranking; "
    "good probabilities need more, because they must also say how sure they are.",
    deeper=Deeper(
        "A logistic regression on unit vectors, calibrated on marks that were left out while fitting. The "
        "expected "
        "calibration error averages, over bins $b$ of the stated probability, the gap between the mean "
        "probability "
        "and the share that was true.",
        r"\mathrm{ECE} = \sum_b \frac{n_b}{n} \, \left| \bar{p}_b - \bar{y}_b \right|",
        "Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015",
    ),
    place="Globe",
)

DIFFERENCE = Lesson(
    id="difference",
    title="Is the difference real?",
    minutes=6,
    prose=(
        "Two networks are tested on the same images, and one gets a few more right.",
        "With other images it might have been the other way round.",
        "A confidence interval of the paired difference says which differences the test can tell apart from "
        "chance.",
    ),
    terms=("kNN", "confidence interval", "paired"),
    ask="mae_tiny and scale_mae_tiny classify the same images of ten regions. What does the 95 % interval of "
    "the "
    "paired difference say?",
    question=Choice(
        (f"{vectors.MODELS[0]} is better", f"{vectors.MODELS[1]} is better", "it cannot be told")
    ),
    setup=vectors.show_regions,
    try_this="Use more images and watch the interval shrink.",
    controls=(Slider("images", "Test images", 10, 80, 10, 10),),
    explore=vectors.measure_difference,
    measure=vectors.measure_difference,
    conclude=vectors.conclude_difference,
    claim="Comparing image by image gives a narrower interval than comparing two separate accuracies.",
    debrief="Some images are hard for both networks and some are easy for both. Pairing removes that common "
    "part, so "
    "only the images on which the networks disagree matter. An interval that contains zero does not prove "
    "that the "
    "networks are equal; it says that this test cannot tell them apart.",
    deeper=Deeper(
        "The interval is a bootstrap over images: resample the per-image differences $d_i$ with replacement, "
        "and take "
        "the middle 95 % of their means. Pairing helps by the covariance of the two results.",
        r"\mathrm{Var}(\bar{b} - \bar{a}) = \tfrac{1}{n}\left(\sigma_a^2 + \sigma_b^2 - 2\,\mathrm{Cov}(a, "
        r"b)\right)",
        "Efron and Tibshirani, An Introduction to the Bootstrap, 1993",
    ),
    place="Evaluate",
)
