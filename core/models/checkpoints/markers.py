"""Which project a file of weights comes from, told by the names and shapes of its tensors, for networks that
cannot be built from it.

The table is read before anything is asked of the user. Names and shapes are those that each project's code
writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Tensors = Mapping[str, Tensor]

RGB = "tiles are shown to networks as red, green and blue"
THREE_BANDS = f"and {RGB}: use an encoder for three bands"
BY_TIMM = "give it with its architecture, timm:NAME@FILE"
BY_EXPORT = "export its encoder for red, green and blue as ONNX or .pt2, and open that file"
BY_OWN_NAMES = "use the file under its authors' own names, or timm's"


@dataclass(frozen=True)
class Marker:
    """The marks of one project's files.

    `keys` are regular expressions, each of which is found in the name of some tensor; `shapes` is true of the
    tensors' shapes. `description` completes the sentence "FILE is ...".
    """

    keys: tuple[str, ...]
    description: str
    shapes: Callable[[Tensors], bool] | None = None

    def fits(self, tensors: Tensors) -> bool:
        """Whether the tensors have all these marks."""
        return all(any(re.search(pattern, key) for key in tensors) for pattern in self.keys) and (
            self.shapes is None or self.shapes(tensors)
        )


def _spans_time(tensors: Tensors) -> bool:
    return any(tensor.ndim == 5 for key, tensor in tensors.items() if key.endswith("patch_embed.proj.weight"))


def _narrow_positions(tensors: Tensors) -> bool:
    table, cls = tensors["pos_embed"], tensors["cls_token"]
    return table.ndim == cls.ndim == 3 and table.shape[2] < cls.shape[2] <= 2 * table.shape[2]


MARKERS = (
    Marker((r"^s2_encoder\.",), f"CROMA, for 12 bands of Sentinel-2 and two of radar, {THREE_BANDS}"),
    Marker(
        (r"(^|\.)radar_encoder\.", r"(^|\.)optical_encoder\."),
        f"CROMA, for 12 bands of Sentinel-2 and two of radar, {THREE_BANDS}",
    ),
    Marker(
        (r"patch_embedding\.weight_generator\.",),
        f"Clay, which computes its patch embedding from wavelengths, time and place: {BY_EXPORT}",
    ),
    Marker(
        (r"(^|\.)patch_embed\.weight_generator\.",),
        f"DOFA, which computes its patch embedding from wavelengths: {BY_EXPORT}",
    ),
    Marker(
        (r"(^|\.)patch_embed_spectral\.",),
        f"Copernicus-FM, which computes its patch embedding from wavelengths: {BY_EXPORT}",
    ),
    Marker(
        (r"(^|\.)patch_embed\.conv3d\.",),
        f"Panopticon, whose patch embedding depends on wavelengths: {BY_EXPORT}",
    ),
    Marker(
        (r"(^|\.)pos_embed_spatial$",),
        f"SpectralGPT, whose patches span several of 12 bands, {THREE_BANDS}",
    ),
    Marker(
        (r"(temporal|location)_embed_enc\.",),
        f"Prithvi-EO-2.0-TL, for six bands at several dates, {THREE_BANDS}",
    ),
    Marker(
        (r"^encoder\.patch_embed\.", r"^decoder\.decoder_blocks\."),
        f"Prithvi-EO-2.0, for six bands at several dates, {THREE_BANDS}",
        _spans_time,
    ),
    Marker(
        (),
        "a network for image series whose patches span time, such as Prithvi-EO-1.0, "
        "and one image is shown at a time: use an encoder for single images",
        _spans_time,
    ),
    Marker((r"(^|\.)encoder_pos_embed$",), f"Cross-Scale MAE, another implementation of MAE: {BY_EXPORT}"),
    Marker(
        (r"(^|\.)proj_up_conv\.", r"(^|\.)channel_embed$"),
        f"SatMAE++ for groups of Sentinel-2 bands, and {RGB}: use SatMAE++ for RGB",
    ),
    Marker(
        (r"(^|\.)(channel_embed$|patch_embed\.0\.)",),
        f"SatMAE for groups of Sentinel-2 bands, and {RGB}: use SatMAE for RGB",
    ),
    Marker(
        (r"^pos_embed$", r"^cls_token$"),
        "SatMAE for image series, part of whose positions encode time, and one image is shown at a time: "
        "use SatMAE for RGB",
        _narrow_positions,
    ),
    Marker(
        (r"(^|\.)s_t_channel_embed$",),
        f"Galileo, for Sentinel-1, Sentinel-2, weather and terrain at several dates, {THREE_BANDS}",
    ),
    Marker(
        (r"(^|\.)composite_encodings\.",),
        f"OlmoEarth, for Sentinel-1, Sentinel-2 and Landsat at several dates, {THREE_BANDS}",
    ),
    Marker((r"encoder_embeddings\.",), f"TerraMind, with an embedding for each kind of image: {BY_EXPORT}"),
    Marker(
        (r"(^|\.)eo_patch_embed\.",),
        "Presto, for time series of single pixels, which cannot embed an image: use an encoder for images",
    ),
    Marker(
        (r"(^|\.)pos_emb_projection\.",),
        "Scale-MAE with projected positions, an option with which the original itself crashes: "
        "use a file without it",
    ),
    Marker(
        (r"layer_scale1\.lambda1$",),
        f"DINOv2 or DINOv3 in the layout of Hugging Face's transformers: {BY_OWN_NAMES}",
    ),
    Marker(
        (r"^student\.", r"^teacher\."),
        "a training checkpoint of self-distillation (DINO and the like), with a student and a teacher: "
        "save the teacher's backbone alone",
    ),
    Marker(
        (r"^student\.",),
        "a student with a decoder, whose sizes only its card states: put the .json written with it beside "
        "the file",
    ),
    Marker(
        (r"(^|\.)blocks\.0\.(attn\.q_proj\.|gamma_1$)",),
        f"EVA or DINOv3 under timm's names: {BY_TIMM}",
    ),
    Marker(
        (r"^blocks\.0\.attn\.(q_bias|relative_position_bias_table)$",),
        f"BEiT, with relative positions inside its attention: {BY_TIMM}",
    ),
    Marker(
        (r"(^|\.)blocks\.\d+\.attn\.(rel_pos_h|sampling_offsets)",),
        f"a vision transformer with attention in windows, such as SAM's or RVSA: {BY_EXPORT}",
    ),
    Marker(
        (r"(^|\.)(layers|features)\.\d+\..*attn\.logit_scale$",),
        f"Swin Transformer V2, as Satlas uses it: {BY_TIMM}",
    ),
    Marker(
        (r"(^|\.)(layers|features)\.\d+\..*attn\.relative_position_bias_table$",),
        f"Swin Transformer, as RingMo and GFM use it: {BY_TIMM}",
    ),
    Marker((r"(^|\.)layers\.\d+\.RC\.",), f"ViTAE, with convolutions beside attention: {BY_EXPORT}"),
    Marker(
        (r"(^|\.)location\.nnet\.",),
        "SatCLIP, which embeds places by their coordinates: use an encoder for images",
    ),
    Marker(
        (r"(^|\.)visual\.(class_embedding$|conv1\.|trunk\.)",),
        f"CLIP, as RemoteCLIP and GeoRSCLIP use it: {BY_TIMM}",
    ),
    Marker(
        (r"(^|\.)vision_model\.embeddings\.",),
        f"CLIP in the layout of Hugging Face's transformers: {BY_OWN_NAMES}",
    ),
    Marker(
        (r"(^|\.)encoder\.layer\.\d+\.attention\.attention\.relative_position_bias\.",),
        f"BEiT in the layout of Hugging Face's transformers: {BY_OWN_NAMES}",
    ),
    Marker((r"(^|\.)stages\.\d+\.(blocks\.)?\d+\.(conv_dw|dwconv)\.",), f"ConvNeXt: {BY_TIMM}"),
    Marker(
        (r"(^|\.)conv1\.weight$", r"(^|\.)layer4\.\d+\.conv\d\."),
        f"a ResNet, as SeCo, SSL4EO-S12 and torchgeo publish them: {BY_TIMM}",
    ),
    Marker(
        (r"(^|\.)dist(illation)?_token$",),
        "a vision transformer with a distillation token (DeiT, TinyMIM*-Ti), which is not supported: "
        "use the file without the token",
    ),
    Marker(
        (r"(^|\.)target_encoder\.", r"(^|\.)predictor\."),
        "a training checkpoint of I-JEPA, with an encoder, a target encoder and a predictor: "
        "save the target encoder alone, and give it with its architecture, timm:NAME@FILE",
    ),
    Marker(
        (r"(^|\.)(reg_token$|norm_pre\.|blocks\.0\.(ls1\.gamma$|attn\.q_norm\.|mlp\.fc1_g\.))",),
        f"a vision transformer of timm with parts that MAE's does not have: {BY_TIMM}",
    ),
)
"""The first that fits counts."""


def project_of(tensors: Tensors) -> str | None:
    """What these tensors are, as the end of the sentence "FILE is ..."; None if no marker fits."""
    return next((marker.description for marker in MARKERS if marker.fits(tensors)), None)
