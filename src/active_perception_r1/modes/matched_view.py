"""Control: as many visual tokens as `active` spent on the question, without a choice of where.

If `active` does no better, zooming is only more pixels. Where images become as many tokens as they
have pixels, the page is shown larger, with the pixels of the first view and of all crops that were
shown. A model that brings every image to one resolution is shown the page in as many equal tiles as
it was shown images.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.zoom_simulator import opening_tiles, view_of_size
from active_perception_r1.modes._mode import ACTIVE, CropSizes, Mode, first_view
from active_perception_r1.records import Sample
from active_perception_r1.sim.live_reinjection import EpisodeRules


def _matched(sample: Sample, rules: EpisodeRules, earlier: CropSizes) -> Sequence[Image.Image]:
    views = first_view(sample, rules, earlier)
    if not earlier:
        return views
    if rules.fixed_resolution:
        return opening_tiles(sample.image, 1 + len(earlier), rules.first_view)
    shown = [*(view.size for view in views), *earlier]
    pixels = sum(width * height for width, height in shown)
    return (view_of_size(open_page(sample.image), pixels, rules.first_view),)


MODE = Mode(
    "sees as much as it saw in active, but of the whole page at once",
    opening=_matched,
    goes_by=ACTIVE,
    opening_name="The page with as many tokens as in active",
)
