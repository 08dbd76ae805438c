"""Vision transformers in the layout of Hugging Face's transformers (ViT and ViTMAE), under MAE's names.

Its attention stores queries, keys and values apart; MAE's stores them joined, in this order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PARTS = (
    (r"^(vit\.)?embeddings\.cls_token$", "cls_token"),
    (r"^(vit\.)?embeddings\.position_embeddings$", "pos_embed"),
    (r"^(vit\.)?embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(vit\.)?(encoder\.layer|layers)\.(?=\d)", "blocks."),
    (r"^(vit\.)?layernorm\.", "norm."),
    (r"^decoder\.(mask_token|decoder_pos_embed)$", r"\1"),
    (r"^decoder\.(decoder_embed|decoder_norm|decoder_pred)\.", r"\1."),
    (r"^decoder\.(decoder_layers|decoder_encoder\.layer)\.", "decoder_blocks."),
    (r"^classifier\.", "head."),
    (r"^vit\.(?=pooler\.|embeddings\.mask_token$)", ""),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
"""Regular expressions on names, and what replaces them, applied in this order."""

MAX_CONFIG_BYTES = 2**20
QUERY = r"\.attention\.(attention\.query|q_proj)\.(weight|bias)$"


def is_hugging_face(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the layout of transformers' ViT."""
    return any(
        re.search(r"(^|\.)embeddings\.patch_embeddings\.projection\.weight$", key) for key in tensors
    ) and any(re.search(QUERY, key) for key in tensors)


def under_mae_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under MAE's names, with queries, keys and values joined."""
    named: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if found := re.search(r"^(.*\.attention\.)(attention\.query|q_proj)(\.(?:weight|bias))$", key):
            others = ("attention.key", "attention.value") if "query" in found[2] else ("k_proj", "v_proj")
            three = [tensor, *(tensors.get(found[1] + other + found[3]) for other in others)]
            if all(part is not None and part.shape == tensor.shape for part in three):
                block = _renamed(found[1].removesuffix("attention."))
                named[f"{block}attn.qkv{found[3]}"] = torch.cat([part for part in three if part is not None])
                continue
        elif re.search(r"\.attention\.(attention\.(key|value)|[kv]_proj)\.(weight|bias)$", key):
            continue
        named[_renamed(key)] = tensor
    return named


def _renamed(key: str) -> str:
    for pattern, name in PARTS:
        key = re.sub(pattern, name, key)
    return key


def arguments_beside(path: Path) -> dict[str, Any]:
    """What the config.json beside a file of a ViT or ViTMAE states, under the names of MAE's script."""
    names = {
        "num_attention_heads": "num_heads",
        "decoder_num_attention_heads": "decoder_num_heads",
        "norm_pix_loss": "norm_pix_loss",
        "image_size": "input_size",
    }
    with suppress(OSError, ValueError, RecursionError):
        file = path.with_name("config.json")
        config = json.loads(file.read_bytes()) if file.stat().st_size <= MAX_CONFIG_BYTES else None
        if isinstance(config, dict) and config.get("model_type") in ("vit", "vit_mae"):
            return {name: config[key] for key, name in names.items() if isinstance(config.get(key), int)}
    return {}
