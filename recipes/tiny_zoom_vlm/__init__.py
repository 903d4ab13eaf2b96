"""How `models/tiny-zoom-vlm` is made, from scratch on two CPU cores: `make.make`.

Kept beside the package, not in it: it needs a checkout, and nothing else needs it.
"""
