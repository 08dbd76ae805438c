"""The words that lessons use, in one sentence each. docs/glossary.md explains them at more length."""

TERMS = {
    "patch": "a small square of the image, here 8 x 8 pixels, that the network reads as one unit",
    "mask": "the choice of patches that are hidden from the network",
    "hidden share": "the part of all patches that is hidden (the mask ratio)",
    "masked autoencoder": "a network trained to fill in the hidden part of an image from the visible part",
    "reconstruction": "the image that the network predicts from the visible patches",
    "classical fill": "hidden pixels computed without a network, for example by a smooth surface between the "
    "edges",
    "PSNR": "peak signal-to-noise ratio in decibels: higher is better; 3 dB more halves the squared error",
    "decibel": "a logarithmic unit: 10 dB means a factor of ten, 3 dB a factor of two",
    "low frequencies": "the smooth part of an image: what is left when you squint",
    "high frequencies": "fine detail: edges and texture, as differences from the smooth part",
    "spectrum": "how much of an image's contrast lies in coarse waves and how much in fine ones",
    "GSD": "ground sample distance: how many metres on the ground one pixel covers",
    "positional encoding": "numbers added to every patch that tell the network where the patch is",
    "embedding": "the list of numbers (the vector) by which a network describes an image",
    "cosine": "how alike two vectors are: 1 means the same direction, 0 unrelated",
    "nearest neighbours": "the images whose vectors are most alike",
    "kNN": "k nearest neighbours: classify an image by a vote of the k labelled images most like it",
    "uncertainty": "how much the predictions for one place differ when the network sees other patches",
    "calibrated": "a probability is calibrated if events given 70 % really happen in 70 % of cases",
    "calibration error": "the mean gap between a stated probability and the share that was true",
    "confidence interval": "the range that would contain the true value in 95 % of repeated experiments",
    "paired": "compared image by image, so that what makes an image hard for both models cancels out",
    "distillation": "training a small network (the student) to imitate a larger one (the teacher)",
    "relation": "how strongly each patch is tied to each other patch inside a network",
    "contrastive": "trained so that two views of one image get similar vectors, and different images "
    "different ones",
    "encoder": "the part of the network that turns patches into vectors",
    "decoder": "the part of the network that turns vectors back into pixels",
    "variance": "the mean squared distance from the average: a measure of contrast",
}
