"""The text of the lessons on the ideas of TinyMIM and SDMAE."""

from __future__ import annotations

from ..measured import papers
from ..questions import Choice
from ..spec import Deeper, Lesson, Options

RELATIONS = Lesson(
    id="relations",
    title="What TinyMIM passes on",
    minutes=6,
    prose=(
        "A large network, the teacher, can train a smaller one, the student.",
        "The student's vectors are shorter than the teacher's, so it cannot copy them number by number.",
        "TinyMIM lets it copy something else: which patches belong together, their relations.",
    ),
    terms=("distillation", "relation", "patch", "kNN"),
    ask="tinymim_tiny has 4 blocks and learned only its teacher's relations. mae_tiny has 8 blocks and "
    "learned to "
    "reconstruct pixels. Which one has the higher kNN accuracy on images of ten regions of the Earth?",
    question=Choice((papers.STUDENT, papers.PLAIN)),
    setup=papers.show_images,
    try_this="Take the 10 % of all pairs of patches that Scale-MAE finds most alike. How many of them are "
    "also among the closest 10 % in the other two networks? By chance it would be 10 %.",
    controls=(Options("tile", "Image", tuple(papers.TILES)),),
    explore=papers.try_relations,
    measure=papers.measure_relations,
    conclude=papers.conclude_relations,
    claim="A student that learned nothing but relations describes images better than a deeper network that "
    "learned "
    "pixels.",
    debrief="Relations are a table of patches by patches, so their size depends on the image and not on the "
    "width of "
    "the network. Any student can match them. They carry what the teacher knows about the scene, and "
    "leave out how it encodes that. The authors of TinyMIM found that they transfer better than features.",
    deeper=Deeper(
        "The student's last block matches the teacher's query-key and value-value relations head by head, by "
        "Kullback-Leibler divergence; of a deep teacher, a middle block is the best source. The student here "
        "was "
        "trained with an earlier Scale-MAE than the one that is shipped now, so it need not share its "
        "closest pairs.",
        r"R = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right), \qquad L = \mathrm{KL}(R_T \,\|\, "
        r"R_S)",
        "Ren et al., TinyMIM: An Empirical Study of Distilling MIM Pre-trained Models, CVPR 2023, arXiv "
        "2301.01296",
    ),
    place="Evaluate",
)

SMALL_DATA = Lesson(
    id="small-data",
    title="Two tasks beyond filling gaps",
    minutes=6,
    prose=(
        "Masked autoencoders are usually trained on very many images; SDMAE was made for a few thousand.",
        "It learns two more tasks besides filling gaps: to say where a patch lies, and to recognise a "
        "picture from another view of it.",
        "Here sdmae_tiny, trained on all three tasks and taught by an image classifier, is compared with "
        "mae_tiny, which was trained only to fill gaps.",
    ),
    terms=("masked autoencoder", "contrastive", "nearest neighbours"),
    ask="Which of the two recognises the same place more often when the view is shifted and rotated?",
    question=Choice((papers.PLAIN, papers.SMALL)),
    setup=papers.show_views,
    try_this="Compare both networks on both tasks.",
    controls=(Options("task", "Task", papers.TASKS[::-1]),),
    explore=papers.try_small,
    measure=papers.measure_small,
    conclude=papers.conclude_small,
    claim="A network that also learned to recognise a picture from another view recognises places better "
    "than a plain MAE.",
    debrief="With few pictures, a network can memorise what fills the gaps. The location task forces it to "
    "keep the "
    "layout of a scene, and the contrastive task forces it to describe a whole picture in one vector that "
    "survives cropping and turning. Filling gaps alone asks for neither. The page Evaluate compares both "
    "methods fairly, on the same 2,000 pictures and without a classifier.",
    deeper=Deeper(
        "The loss adds three parts: reconstruction of hidden patches, the position of visible patches, and a "
        "contrastive term between two views with a momentum branch.",
        r"L = L_{\mathrm{con}} + L_{\mathrm{loc}} + 0.1\, L_{\mathrm{ctr}}",
        "Mao et al., Masked Autoencoders Are Effective Solution to Transformer Data-Hungry, arXiv 2212.05677",
    ),
    place="Evaluate",
)
