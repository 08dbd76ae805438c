"""Tours of the labs: five steps each, some of which lead to the lesson on the same subject."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: what to do, what to notice, and the id of the lesson about it, if there is one."""

    do: str
    notice: str
    lesson: str = ""


TOURS: dict[str, tuple[Step, ...]] = {
    "Mask Lab": (
        Step(
            "Move “Masking ratio”.",
            "The network sees only the visible patches; watch “Reconstruction” get smoother.",
            "shares",
        ),
        Step(
            "Set “Mask kind” to “Block”.",
            "The same share hidden in one piece is harder than scattered.",
            "shapes",
        ),
        Step(
            "Set “Mask kind” to “Paint your own” and drag on the tile.",
            "Edges cost more than flat ground.",
            "patches",
        ),
        Step(
            "Open the tab “Errors”.",
            "Bright is wrong. Below are the classical fills, which need no network.",
        ),
        Step("Copy the address of the page.", "It holds everything that you see: tile, network, mask."),
    ),
    "Scale Lab": (
        Step("Look at the rows.", "One place at several ground sample distances (GSD), finest first."),
        Step(
            "Compare “Low frequencies” and “High frequencies” in one row.",
            "Edges lie in the high band.",
            "bands",
        ),
        Step(
            "Open the tab “Sensitivity to the scale input”.",
            "The embedding depends on the GSD that is stated.",
            "gsd",
        ),
        Step(
            "Change “Policy” under “Scale and input”.",
            "It turns the GSD into the network's input.",
            "wrong-scale",
        ),
        Step("Open the tab “Patches” and click one.", "A patch's vector depends on its scene.", "context"),
    ),
    "Globe": (
        Step("Drag the globe, and scroll to zoom.", "Each point is a tile with its embedding."),
        Step(
            "Click a point.", "Its nearest neighbours light up on the globe and in the projection.", "globe"
        ),
        Step("Draw a lasso in the projection.", "The same points are selected on the globe."),
        Step("Open the tab “Label” and mark a few tiles.", "A few marks make a map.", "marks"),
        Step("Open the tab “Anywhere”.", "It embeds new scenes, if online access is switched on."),
    ),
    "Evaluate": (
        Step("Read the first table.", "Every number has a 95 % interval and the recipe that gave it."),
        Step(
            "Compare two networks on one set.",
            "The paired interval says whether the difference is real.",
            "difference",
        ),
        Step("Look for a network without reconstruction scores.", "Its kNN can be the best.", "order"),
        Step("Start a small evaluation of your own.", "It runs in the background; the page can be closed."),
        Step("Download the recipe as “TOML”.", "With it, anybody can repeat the number."),
    ),
    "Train": (
        Step("Choose a preset.", "The small ones run on a laptop's processor."),
        Step("Read “Spec (TOML)”.", "Every setting of the run is in it; a preset is a good start."),
        Step(
            "Press “Start training”.",
            "Loss and pictures appear while it trains; it can be stopped and resumed.",
        ),
        Step(
            "Compare a paper's idea with its plain counterpart.",
            "Both are trained on the same images.",
            "relations",
        ),
        Step("Load the result in the Mask Lab.", "It is in the list of networks, with its card."),
    ),
}
