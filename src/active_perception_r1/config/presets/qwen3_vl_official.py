"""Qwen3-VL with the zoom tool of its makers.

Sampling is that of their cookbook (QwenLM/Qwen3-VL, cookbooks/think_with_images.ipynb); boxes and
crops are treated as by Qwen-Agent's `image_zoom_in_qwen3vl.py`: cut at the edge of the image, sides
of at least 32 pixels, crops of at least 256 * 32 * 32 pixels. Theirs enlarges bicubically and has
no limit of turns; here it is Lanczos, and as many zooms as the keys below say.
"""

_SIDE = 32

PRESET = {
    "family": "qwen3_vl",
    "zoom_syntax": "qwen3_vl",
    "prompts": "native",
    "first_view": {"multiple": _SIDE},
    "crop": {
        "multiple": _SIDE,
        "min_pixels": 256 * _SIDE**2,
        "clamp": True,
        "min_side": _SIDE,
        "min_area": 0.0,
    },
    "max_zooms": 15,
    "max_turns": 16,
    "decoding": {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5},
}
