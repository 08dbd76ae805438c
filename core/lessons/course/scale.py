"""The text of the lessons about frequency bands and scale."""

from __future__ import annotations

from ...units import metres
from ..measured import scale
from ..questions import Choice, Number
from ..spec import Deeper, Lesson, Options, Slider

SCALE_MAE = "Reed et al., Scale-MAE, ICCV 2023, arXiv 2212.14532"

BANDS = Lesson(
    id="bands",
    title="Two bands, two answers",
    minutes=5,
    prose=(
        "Any image is the sum of a smooth part, the low frequencies, and fine detail, the high frequencies.",
        "Scale-MAE predicts the two separately and adds them up.",
        "The boundaries between fields are thin lines where brightness jumps.",
    ),
    terms=("low frequencies", "high frequencies", "spectrum"),
    ask="Which of the two predicted bands holds more of the field edges?",
    question=Choice(("the low band", "the high band")),
    setup=scale.show_fields,
    try_this="Hide more and less of the image. Watch what happens to each band.",
    controls=(Slider("share", "Hidden share", 10, 90, 10, 50, "%"),),
    explore=scale.try_bands,
    measure=scale.measure_bands,
    conclude=scale.conclude_bands,
    claim="Edges lie in the high band, and the high band holds finer waves than the low band.",
    debrief="A sharp step needs fine waves: the smooth band can only show it as a slow slope. When more is "
    "hidden, "
    "the low band keeps its shape, because coarse structure can be inferred from far away. The high band "
    "fades "
    "first, because fine detail cannot.",
    deeper=Deeper(
        "Scale-MAE's decoder has one head for a low-resolution image $\\hat{I}_l$ and one for a residual "
        "$\\hat{I}_h$. The low target is the image averaged to a coarse grid, the high target is the image "
        "minus its "
        "own low-pass. Both are supervised separately.",
        r"\hat{I} = \mathrm{up}(\hat{I}_l) + \hat{I}_h",
        SCALE_MAE,
    ),
    place="Scale Lab",
)

GSD = Lesson(
    id="gsd",
    title="The metre is an input",
    minutes=5,
    prose=(
        "A tree fills many pixels of a drone image and less than one of a Landsat image.",
        "Scale-MAE is told how many metres a pixel covers, its ground sample distance (GSD).",
        "So the same pixels get a different vector when a different GSD is stated.",
    ),
    terms=("GSD", "positional encoding", "embedding", "cosine"),
    ask="The pixels stay the same, and only the stated GSD grows from 0.3 m to 3 km. "
    "In which step does the embedding change most?",
    question=Choice(scale.steps()),
    setup=scale.show_fields,
    try_this="State a different GSD. The true one is shown with the result.",
    controls=(Options("gsd", "Stated GSD", tuple(metres(value) for value in scale.GSDS_M)),),
    explore=scale.try_gsd,
    measure=scale.measure_gsd,
    conclude=scale.conclude_gsd,
    claim="The embedding of the same pixels changes with the stated GSD.",
    debrief="The GSD enters through the positional encoding: it stretches the distances between patches "
    "before they "
    "are turned into waves. A network that ignores the GSD, such as a plain MAE with static positions, gives "
    "the "
    "same vector at every step.",
    deeper=Deeper(
        "The encoding of position $pos$ in dimension $i$ of $D$ uses the ratio of the GSD $g$ to a reference "
        "of $G$ "
        "= 1 m. The shipped networks use the policy log_gsd, in which the factor grows with the logarithm of "
        "the GSD.",
        r"v_{g}(pos, 2i) = \sin\!\left(\frac{g}{G}\,\frac{pos}{10000^{2i/D}}\right)",
        SCALE_MAE,
    ),
    place="Scale Lab",
)

WRONG_SCALE = Lesson(
    id="wrong-scale",
    title="A wrong scale",
    minutes=5,
    prose=(
        "Metadata are often wrong: a 30 m image may arrive labelled as 3 m.",
        "Here the vectors of 60 places are computed with their true GSD.",
        "Then we search for each place with a second view of it, shifted and rotated, whose stated GSD is "
        "ten times too fine.",
    ),
    terms=("GSD", "embedding", "nearest neighbours"),
    ask="With the wrong GSD instead of the true one, will the nearest neighbour be the same place more "
    "often (better), less often (worse), or about as often (within 2 percentage points)?",
    question=Choice(("better", "worse", "about the same")),
    setup=scale.show_views,
    try_this="Change how wrong the stated GSD is.",
    controls=(Slider("factor", "The stated GSD is too fine by a factor of", 2, 100, 1, 2),),
    explore=scale.measure_wrong_scale,
    measure=scale.measure_wrong_scale,
    conclude=scale.conclude_wrong_scale,
    claim="A wrong GSD makes nearest neighbours worse.",
    debrief="Vectors computed with different GSDs lie in different places, even for the same pixels. A "
    "search mixes two differences: what the image shows, and which GSD was stated. Tables of embeddings "
    "therefore store the GSD of every "
    "row, "
    "and a search should compare rows that were fed the same way.",
    deeper=Deeper(
        "Published results change by many points if only the GSD, the resizing or the pooling changes. State "
        "all three with every number.",
        r"\mathrm{cos}(f(x, g), f(x', g')) \neq \mathrm{cos}(f(x, g), f(x', g))",
        SCALE_MAE,
    ),
    place="Scale Lab",
)

BAND_PASS = Lesson(
    id="band-pass",
    title="What the band-pass decoder is for",
    minutes=5,
    prose=(
        "Most networks of this kind predict pixels with one output and one squared error.",
        "Scale-MAE gives fine detail an output and an error of its own.",
        "To see why, ask how much fine detail weighs in the squared error.",
    ),
    terms=("decoder", "low frequencies", "high frequencies", "variance"),
    ask="What share of this image's variance lies in its high frequencies?",
    question=Number("%", 0, 100, 10),
    setup=scale.show_fields,
    try_this="Hide more and less, and compare both predicted bands with the image.",
    controls=(Slider("share", "Hidden share", 10, 90, 10, 50, "%"),),
    explore=scale.try_bands,
    measure=scale.measure_band_share,
    conclude=scale.conclude_band_share,
    claim="The high band holds nearly all edges, but a much smaller part of the variance.",
    debrief="A squared error counts variance, not edges. A network could leave out fine detail, lose little, "
    "and draw "
    "a blurred image. With a target of its own, detail counts as much as the smooth part, and the encoder "
    "has to keep "
    "what it takes to place edges.",
    deeper=Deeper(
        "By Parseval's theorem the squared error is a sum over frequencies, and the power of natural "
        "images falls roughly with the square of the frequency $f$. Scale-MAE takes a squared error for "
        "the low band and an "
        "absolute error for the high band.",
        r"\lVert \hat{I} - I \rVert^2 = \sum_f |\hat{F}(f) - F(f)|^2, \qquad |F(f)|^2 \propto f^{-2}",
        SCALE_MAE,
    ),
    place="Scale Lab",
)
