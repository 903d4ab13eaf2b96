"""A Qwen2.5-VL of 0.7 million parameters that writes zoom calls and answers, by rote."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from active_perception_r1.envs.kept_page import KeptPage
from active_perception_r1.models.chat import template_message
from active_perception_r1.modes import ACTIVE, episode_rules
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Message, Reply
from tests.verl.runs import MODEL, QUESTION, page

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}"
    "{%- if m.content is string %}{{- m.content }}{%- else %}{%- for c in m.content %}"
    "{%- if c.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif 'text' in c %}{{- c.text }}{%- endif %}{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
ZOOMS = [
    '<zoom_roi x0="0.5" y0="0.5" x1="0.75" y1="0.75"/>',
    '<zoom_roi x0="0.0" y0="0.0" x1="0.2" y1="0.2"/>',
]
STEPS = 400
ANSWERS = ["<answer>7</answer>", "<answer>the total is 3</answer>"]


def build(folder: Path) -> None:
    """Write the model, trained for a few seconds."""
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(1)  # more would wait for each other
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    _model(tokenizer).save_pretrained(folder)
    _write_image_processor(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    _train(model, processor)
    model.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = [QUESTION, "system user assistant You may zoom. Answer directly.", *ZOOMS, *ANSWERS]
    tokenizer.train_from_iterator(texts * 10, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[s for s in SPECIAL if s not in ("<|endoftext|>", "<|im_end|>")],
        chat_template=TEMPLATE,
        model_max_length=4096,
    )


def _model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    ends = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "tie_word_embeddings": False,
    }
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 512,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],
            },
            "pad_token_id": ids["<|endoftext|>"],
            **ends,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "in_channels": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 128,
            "tokens_per_second": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        **ends,
    )
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def _write_image_processor(folder: Path) -> None:
    """All of it: vLLM normalises by these values and does not know transformers' defaults."""
    settings = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "min_pixels": 56 * 56,
        "max_pixels": 112 * 112,
        "size": {"shortest_edge": 56 * 56, "longest_edge": 112 * 112},
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _train(model: Qwen2_5_VLForConditionalGeneration, processor: AutoProcessor) -> None:
    """To zoom, mostly, and to answer at random: enough for rewards to differ."""
    model.model.visual.requires_grad_(False)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, STEPS)
    batches = [_batch(processor) for _ in range(4)]
    for step in range(STEPS):
        model(**batches[step % len(batches)]).loss.backward()
        optimiser.step()
        slower.step()
        optimiser.zero_grad()


def _batch(processor: AutoProcessor) -> dict[str, torch.Tensor]:
    """All that may be said of one page, which tells nothing of what to say."""
    view, crop = page(448), page(112)
    said = itertools.product((*ZOOMS, None), ANSWERS)
    texts, images = zip(
        *(_conversation(processor, view, crop, zoom, answer) for zoom, answer in said), strict=True
    )
    batch = processor(text=list(texts), images=list(images), padding=True, return_tensors="pt")
    image = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    ids = batch["input_ids"]
    return {
        **batch,
        "labels": ids.masked_fill((batch["attention_mask"] == 0) | (ids == image), -100),
    }


def _conversation(
    processor: AutoProcessor, view: Image.Image, crop: Image.Image, zoom: str | None, answer: str
) -> tuple[str, list[Image.Image]]:
    live = LiveEpisode("rote", QUESTION, KeptPage(view), [crop], episode_rules(ACTIVE, MODEL))
    if zoom:
        live.receive(Reply(zoom, FinishReason.STOP))
    messages = (*live.request, Message("assistant", (answer,)))
    written = [template_message(message, processor.image_token) for message in messages]
    images = [image for message in messages for image in message.images]
    return processor.apply_chat_template(written), images
