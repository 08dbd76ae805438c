"""The text of the lessons about masks."""

from __future__ import annotations

from ..measured import masking
from ..questions import Number, Patches
from ..spec import Deeper, Lesson, Paint, Slider

MAE_PAPER = "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022, arXiv 2111.06377"

PATCHES = Lesson(
    id="patches",
    title="A picture is a grid of patches",
    minutes=4,
    prose=(
        "A masked autoencoder cuts a satellite image into patches, the way a text is cut into words.",
        "While it learns, most patches are hidden, and it fills them in from the few that it sees.",
        "Some gaps are easy to fill, others are not.",
    ),
    terms=("masked autoencoder", "patch", "mask", "reconstruction"),
    ask="Three quarters of this image are hidden (grey). Mark the one hidden patch where you expect the "
    "largest error.",
    question=Patches(1, 1),
    setup=masking.show_mask,
    try_this="Paint a mask of your own. Hide a few patches on the edge of a pond, then the same number on "
    "flat water, and compare the errors.",
    controls=(Paint("mask", "Patches to hide", "random-25-s3"),),
    explore=masking.try_patches,
    measure=masking.measure_patches,
    conclude=masking.conclude_patches,
    claim="The patches with the largest errors are those with much contrast inside them, such as edges.",
    debrief="The network continues what it sees. Flat water beside flat water is easy. An edge that lies "
    "inside a "
    "hidden patch cannot be inferred from outside, so its error is large. That is why error maps of masked "
    "autoencoders trace the edges of a scene.",
    deeper=Deeper(
        "The training loss is the mean squared error over the set $H$ of hidden patches only. Because it "
        "averages "
        "squares, a few patches with high contrast dominate it. He et al. therefore also train on patches "
        "normalised by their own mean and standard deviation.",
        r"L = \frac{1}{|H|} \sum_{p \in H} \lVert \hat{x}_p - x_p \rVert^2",
        MAE_PAPER,
    ),
)

SHARES = Lesson(
    id="shares",
    title="How little is enough?",
    minutes=5,
    prose=(
        "Hiding more patches makes the task harder, for the network and for every other method.",
        "A classical fill needs no training: it stretches a smooth surface between the visible pixels.",
        "A network is worth its training only where it does better than that.",
    ),
    terms=("hidden share", "classical fill", "PSNR", "decibel"),
    ask="More and more of the image is hidden. At which hidden share is the network no longer better than "
    "the best classical fill? Enter 100 if you expect it to be better throughout.",
    question=Number("%", 1, 100, 8),
    setup=masking.show_half,
    try_this="Move the slider from 5 % to 95 %. Watch both PSNR values and the distance between them.",
    controls=(Slider("share", "Hidden share", 5, 95, 10, 55, "%"),),
    explore=masking.try_share,
    measure=masking.measure_shares,
    conclude=masking.conclude_shares,
    claim="The network beats the best classical fill, but its lead is gone when almost everything is hidden.",
    debrief="With little hidden, the gaps are narrow, and a smooth surface fills them well. With almost "
    "everything "
    "hidden, the visible patches no longer say what lies between them, and the best guess is a smooth "
    "surface again. "
    "What the network has learned about scenes helps most in between.",
    deeper=Deeper(
        "The strongest fill here is usually the harmonic one: it solves Laplace's equation in the hidden "
        "region with "
        "the visible pixels as boundary values, which minimises the squared gradient. Shipped Scale-MAE and "
        "MAE "
        "weights predict a correction to that fill, so they start from a result that is already as good.",
        r"\nabla^2 u = 0 \text{ in } H, \qquad u = x \text{ on the visible pixels}",
        MAE_PAPER,
    ),
)

SHAPES = Lesson(
    id="shapes",
    title="Block or scatter?",
    minutes=4,
    prose=(
        "A hidden share says how much is hidden, not where.",
        "Half of an image can be hidden as one block, like a cloud, or as patches scattered all over it.",
        "In both cases the network sees the same number of patches.",
    ),
    terms=("hidden share", "PSNR", "decibel"),
    ask="Half of the image is hidden. By how many dB is one block harder than scattered patches? "
    "Enter a negative number if you expect scattered patches to be harder.",
    question=Number("dB", -20, 20, 1.5),
    setup=masking.show_half,
    try_this="Change the hidden share and compare both shapes.",
    controls=(Slider("share", "Hidden share", 10, 90, 10, 20, "%"),),
    explore=masking.measure_shapes,
    measure=masking.measure_shapes,
    conclude=masking.conclude_shapes,
    claim="At the same hidden share, one block is harder to fill than scattered patches.",
    debrief="Every scattered patch has visible neighbours. In the middle of a block, the nearest visible "
    "pixel is "
    "many patches away, and nearby pixels are what predicts a pixel best. Clouds are blocks: a network "
    "trained on scattered masks finds a real cloud harder to fill than what it was trained on.",
    deeper=Deeper(
        "The correlation between two pixels of natural images falls with their distance $d$; a common model "
        "is "
        "exponential. The expected squared error of the best linear prediction grows with the distance to "
        "the "
        "nearest visible pixel. MAE reports that block masks of 75 % train worse features than random ones.",
        r"\rho(d) = e^{-d / \lambda}",
        MAE_PAPER,
    ),
)

SPREAD = Lesson(
    id="uncertainty",
    title="Honest uncertainty",
    minutes=6,
    prose=(
        "A network that fills a gap always returns one answer, even where many answers are possible.",
        "Show it the same image with 16 different masks, and it gives up to 16 answers for every patch.",
        "Where these answers differ, it is unsure.",
    ),
    terms=("mask", "uncertainty", "variance"),
    ask="Mark 10 to 40 patches where you expect the answers to differ most.",
    question=Patches(10, 40),
    setup=masking.show_tile,
    try_this="Step through the masks. Look at one place and see how its prediction changes.",
    controls=(Slider("seed", "Mask number", 0, 15, 1, 0),),
    explore=masking.try_mask,
    measure=masking.measure_spread,
    conclude=masking.conclude_spread,
    claim="Where the predictions differ between masks, the network is also more often wrong.",
    debrief="On flat ground every mask leads to the same prediction. At edges the prediction depends on "
    "which "
    "neighbours are visible. The spread costs no extra training, and it points to where errors are likely. "
    "It is "
    "not the whole error, though: where the network is wrong in the same way under every mask, the spread is "
    "small.",
    deeper=Deeper(
        "The expected squared error splits into the variance over masks $m$ and the squared bias. The spread "
        "shows the first part only.",
        r"E_m\lVert \hat{x}_m - x \rVert^2 = \mathrm{Var}_m(\hat{x}_m) + \lVert E_m \hat{x}_m - x \rVert^2",
        "Monte Carlo over inputs, in the spirit of Gal and Ghahramani, Dropout as a Bayesian Approximation, "
        "ICML 2016, arXiv 1506.02142",
    ),
)
