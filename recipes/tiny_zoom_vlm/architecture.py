"""The tiny VLM: a stock Idefics3 of 1.7 million parameters, and its packed training forward."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from recipes.tiny_zoom_vlm.tokenizer import (
    END,
    IMAGE,
    IMAGE_SIDE,
    PAD,
    PATCH,
    SCALE_FACTOR,
)

_WIDTH = 128
_LAYERS = 4
_HEADS = 4  # head size 32, the smallest that vLLM's CPU attention takes
_FEED_FORWARD = 384


def build_model(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """A freshly initialised model; `torch.manual_seed` decides its weights."""
    pad, end, image = (tokenizer.convert_tokens_to_ids(token) for token in (PAD, END, IMAGE))
    shared: dict[str, Any] = {
        "pad_token_id": pad,
        "bos_token_id": pad,
        "eos_token_id": end,
        "tie_word_embeddings": True,
    }
    config = Idefics3Config(
        image_token_id=image,  # type: ignore[arg-type]
        scale_factor=SCALE_FACTOR,
        vision_config={
            "hidden_size": _WIDTH,
            "intermediate_size": _FEED_FORWARD,
            "num_hidden_layers": _LAYERS,
            "num_attention_heads": _HEADS,
            "image_size": IMAGE_SIDE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": _FEED_FORWARD,
            "num_hidden_layers": _LAYERS,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": _HEADS,
            "max_position_embeddings": 1024,
            "rope_theta": 1000.0,
            "rms_norm_eps": 1e-6,
            **shared,
        },
        **shared,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=pad, bos_token_id=pad, eos_token_id=end, do_sample=False
    )
    _initialise(model)
    return model


@torch.no_grad()
def _initialise(model: Idefics3ForConditionalGeneration) -> None:
    """Two-dimensional sine positions and livelier embeddings: places are learned far sooner."""
    embeddings = model.model.vision_model.embeddings
    side = IMAGE_SIDE // PATCH
    frequencies = math.pi / 8 * torch.arange(1, _WIDTH // 4 + 1).float()
    angles = torch.arange(side).float()[:, None] / side * frequencies
    batches = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (side, width / 2)
    rows = batches[:, None].expand(side, side, -1)
    columns = batches[None].expand(side, side, -1)
    grid = torch.cat([rows, columns], dim=-1).reshape(side * side, _WIDTH)
    embeddings.position_embedding.weight.copy_(grid)
    embeddings.patch_embedding.weight.normal_(0, (3 * PATCH * PATCH) ** -0.5)
    model.model.text_model.embed_tokens.weight.normal_(0, 0.06)


def encode_images(model: Idefics3ForConditionalGeneration, images: Tensor) -> Tensor:
    """Image features of `images` (n, side, side, 3; uint8) as (n, image tokens, width)."""
    pixels = images.permute(0, 3, 1, 2).to(model.dtype).div_(127.5).sub_(1)
    hidden = model.model.vision_model(pixel_values=pixels).last_hidden_state
    features: Tensor = model.model.connector(hidden)
    return features


def packed_states(
    model: Idefics3ForConditionalGeneration,
    tokens: Tensor,
    positions: Tensor,
    segments: Tensor,
    images: Tensor,
) -> Tensor:
    """Final hidden states of rows that hold several independent conversations about one image.

    Args:
        model: the stock model, in any dtype.
        tokens: (rows, length) token ids.
        positions: (rows, length) position of each token within its own conversation.
        segments: (rows, length) 0 for the shared beginning, k > 0 for conversation k, -1 padding.
            A token sees the earlier tokens of the beginning and of its own conversation.
        images: (n, side, side, 3) uint8, in the order of the image spans, row by row.
    """
    embedded = model.model.text_model.embed_tokens(tokens)
    features = encode_images(model, images).flatten(0, 1).to(embedded.dtype)
    is_image = tokens == model.config.image_token_id
    embedded = embedded.masked_scatter(is_image[..., None], features)
    length = tokens.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    visible = (same | (segments[:, None, :] == 0)) & torch.ones(length, length).tril().bool()
    bias = torch.zeros(visible.shape, dtype=embedded.dtype).masked_fill_(~visible, -1e4)
    output = model.model.text_model(
        inputs_embeds=embedded,
        attention_mask=bias[:, None],
        position_ids=positions,
        use_cache=False,
    )
    states: Tensor = output.last_hidden_state
    return states


def token_logits(model: Idefics3ForConditionalGeneration, states: Tensor) -> Tensor:
    """Next-token logits (float32) for hidden states of any leading shape."""
    logits: Tensor = model.lm_head(states)
    return logits.float()
