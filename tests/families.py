"""Tiny stand-ins for the real models: their architecture, processor and chat, random weights.

python -m tests.families FOLDER DATASET    writes all of them and a configuration to run study
                                           docvqa with them, for `make docvqa-smoke`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from active_perception_r1.config import load_config
from tests.without_torchvision.sitecustomize import install, torchvision_is_missing

install()  # before any processor is loaded

WIDTH = 32
_TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}

# Each in the form of the family's own template, without system prompts and tools.
_QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SMOLVLM_CHAT = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}"
    "{% if message.content[0].type == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% elif part.type == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_LLAVA_CHAT = (
    "{% for message in messages %}{{ message.role.upper() + ': ' }}"
    "{% for part in message.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}"
    "{% endfor %}{% for part in message.content | selectattr('type', 'equalto', 'text') %}"
    "{{ part.text + ' ' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def build_smolvlm(folder: Path) -> dict[str, Any]:
    marks = ["<fake_token_around_image>", "<image>", "<global-img>"]
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokenizer = _tokenizer("<end_of_utterance>", ["<|im_start|>", *marks, *tiles])
    images = hf.Idefics3ImageProcessorPil(
        size={"longest_edge": 224}, max_image_size={"longest_edge": 56}, return_row_col_info=True
    )
    processor = hf.Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=_SMOLVLM_CHAT
    )
    vision = {"image_size": 56, "patch_size": 14, "hidden_size": WIDTH, "num_attention_heads": 2}
    config = hf.Idefics3Config(
        text_config={"model_type": "llama", **_common(tokenizer)},
        vision_config={**vision, "num_hidden_layers": 2, "intermediate_size": 2 * WIDTH},
        image_token_id=_id(tokenizer, "<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    _save(folder, hf.Idefics3ForConditionalGeneration, config, processor)
    return {"first_view": {"max_pixels": 112 * 112}, "crop": {"max_pixels": 56 * 56}}


def build_llava(folder: Path) -> dict[str, Any]:
    tokenizer = _tokenizer("</s>", ["<image>"])
    size = {"height": 56, "width": 56}
    images = hf.LlavaImageProcessorPil(size={"shortest_edge": 56}, crop_size=size)
    processor = hf.LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_LLAVA_CHAT,
    )
    vision = {"image_size": 56, "patch_size": 14, "hidden_size": WIDTH, "num_attention_heads": 2}
    vision |= {"num_hidden_layers": 3, "intermediate_size": 2 * WIDTH}
    config = hf.LlavaConfig(
        text_config={"model_type": "llama", **_common(tokenizer)},
        vision_config={"model_type": "clip_vision_model", **vision},
        image_token_index=_id(tokenizer, "<image>"),
        image_seq_length=16,
    )
    _save(folder, hf.LlavaForConditionalGeneration, config, processor)
    return {"first_view": {"max_pixels": 56 * 56}, "crop": {"max_pixels": 56 * 56}}


def build_qwen2_vl(folder: Path) -> dict[str, Any]:
    vision = {"depth": 2, "embed_dim": WIDTH, "hidden_size": WIDTH, "num_heads": 2}
    kinds = (hf.Qwen2VLConfig, hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor)
    return _build_qwen(folder, *kinds, vision, patch=14, mrope=[2, 3, 3])


def build_qwen2_5_vl(folder: Path) -> dict[str, Any]:
    vision = {"depth": 2, "hidden_size": WIDTH, "out_hidden_size": WIDTH, "num_heads": 2}
    vision |= {"intermediate_size": 2 * WIDTH, "window_size": 56, "fullatt_block_indexes": [1]}
    kinds = (hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLProcessor)
    return _build_qwen(folder, *kinds, vision, patch=14, mrope=[2, 3, 3])


def build_qwen3_vl(folder: Path) -> dict[str, Any]:
    vision = {"depth": 2, "hidden_size": WIDTH, "out_hidden_size": WIDTH, "num_heads": 2}
    vision |= {"intermediate_size": 2 * WIDTH, "num_position_embeddings": 64}
    vision |= {"deepstack_visual_indexes": [0]}
    kinds = (hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLProcessor)
    return _build_qwen(folder, *kinds, vision, patch=16, mrope=[4, 2, 2])


BUILDERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "idefics3": build_smolvlm,
    "llava": build_llava,
    "qwen2_vl": build_qwen2_vl,
    "qwen2_5_vl": build_qwen2_5_vl,
    "qwen3_vl": build_qwen3_vl,
}
SYNTAX = {"qwen2_5_vl": "qwen2_5_vl", "qwen3_vl": "qwen3_vl"}


def build(family: str, folder: Path) -> dict[str, Any]:
    """Write a model of the family; its entry in the configuration, for a CPU and few tokens."""
    torch.manual_seed(0)
    return {
        "id": str(folder),
        "family": family,
        "dtype": "float32",
        "gpus": 1,
        "zoom_syntax": SYNTAX.get(family, "zoom_roi"),
        "max_new_tokens": 8,
        **BUILDERS[family](folder),
    }


def _build_qwen(
    folder: Path,
    config_type: Any,
    model_type: Any,
    processor_type: Any,
    vision: dict[str, Any],
    patch: int,
    mrope: list[int],
) -> dict[str, Any]:
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _tokenizer("<|im_end|>", ["<|im_start|>", *marks])
    images = hf.Qwen2VLImageProcessorPil(patch_size=patch, min_pixels=4 * 28**2, max_pixels=10**7)
    if torchvision_is_missing():
        video = hf.models.auto.video_processing_auto.AutoVideoProcessor.from_pretrained("")
    else:
        video = hf.Qwen2VLVideoProcessor()
    processor = processor_type(images, tokenizer, video, chat_template=_QWEN_CHAT)
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": mrope}
    rope |= {"mrope_interleaved": True} if config_type is hf.Qwen3VLConfig else {}
    text = {**_common(tokenizer), "head_dim": WIDTH // 2, "rope_parameters": rope}
    config = config_type(
        text_config=text,
        vision_config={**vision, "patch_size": patch},
        image_token_id=_id(tokenizer, "<|image_pad|>"),
        video_token_id=_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=_id(tokenizer, "<|vision_end|>"),
    )
    _save(folder, model_type, config, processor)
    view = {"max_pixels": 12 * (2 * patch) ** 2, "multiple": 2 * patch}
    return {"first_view": view, "crop": view}


def _tokenizer(end: str, marks: list[str]) -> Any:
    """One token per byte, and one per mark."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(mark, special=True) for mark in ["<pad>", end, *marks]]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token=end,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def _common(tokenizer: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return {**_TEXT, **ends, "bos_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}


def _id(tokenizer: Any, token: str) -> int:
    number: int = tokenizer.convert_tokens_to_ids(token)
    return number


def _save(folder: Path, model_type: Any, config: Any, processor: Any) -> None:
    model = model_type(config)
    with torch.no_grad():  # livelier than a fresh start, so that what it writes depends on input
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


STUDY = "docvqa-smoke"
STAND_IN_FOR = {
    "smolvlm-500m": "idefics3",
    "qwen2-vl-2b": "qwen2_vl",
    "qwen2.5-vl-3b": "qwen2_5_vl",
    "qwen2.5-vl-7b": "qwen2_5_vl",
    "llava-1.5-7b": "llava",
}


def main(folder: Path, dataset: Path) -> None:
    """Write the stand-ins and `folder`/config.yaml: the shipped study docvqa, run with them."""
    shipped = load_config(Path("workflow_config.yaml")).studies["docvqa"]
    source: dict[str, Any] = {"source": "synthetic", "questions": {"test": 8}}
    if dataset.exists():
        source = {"source": "parquet", "path": str(dataset)}
    study = {
        "dataset": source,
        "slice": {"split": shipped.slice.split, "samples": 8, "seed": shipped.slice.seed},
        "models": shipped.models,
        "modes": shipped.modes,
    }
    entries = {name: build(STAND_IN_FOR[name], folder / name) for name in shipped.models}
    config = {"study": STUDY, "studies": {STUDY: study}, "models": entries}
    (folder / "config.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
