"""A page for the eye: questions with their pages, and boxes where the evidence is said to be."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.records import Sample
from active_perception_r1.storage.files import atomic

WIDTH = 640
"""Most pixels of a side of a page on the sheet."""

_TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #1b1b1b; background: #fafafa }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 2rem }
figure { margin: 0 }
.page { position: relative; border: 1px solid #999 }
.page img { display: block; width: 100% }
.page i { position: absolute; box-sizing: border-box; border: 2px solid #c2185b;
  background: rgba(194, 24, 91, .15) }
.page i b { position: absolute; left: 0; bottom: 100%; font: 11px system-ui; color: #fff;
  background: #c2185b; padding: 0 3px; white-space: nowrap }
figcaption { margin-top: .5rem; overflow-wrap: anywhere }
ol { list-style: upper-alpha; margin: .3rem 0 }
.right { font-weight: bold }
.small { color: #555; font-size: 13px }
</style>
<h1>{{ title }}</h1>
<p>Do the boxes show where the answers stand?
If not, <code>box_format</code> or <code>box_unit</code> is wrong.</p>
<main>
{% for sample, page in samples %}
<figure>
<div class="page"><img src="data:image/jpeg;base64,{{ page }}" alt="page of {{ sample.id }}">
{% for region in sample.evidence %}
<i style="left: {{ percent(region.box.x0) }}; top: {{ percent(region.box.y0) }};
  width: {{ percent(region.box.width) }}; height: {{ percent(region.box.height) }}">
  <b>{{ region.label }}</b></i>
{% endfor %}
</div>
<figcaption>
{{ sample.question }}
{% if sample.options %}
<ol>{% for option in sample.options %}
<li{% if option in sample.answers %} class="right"{% endif %}>{{ option }}</li>{% endfor %}
</ol>
{% else %}
<div class="right">{{ sample.answers | join(" / ") }}</div>
{% endif %}
<div class="small">{{ sample.id }}, {{ sample.width }} x {{ sample.height }} pixels
{%- if sample.layout %}, {{ sample.layout }}{% endif %}
{%- if not sample.evidence %}, no evidence{% endif %}
{%- if sample.requires_zoom %}, requires a zoom{% endif %}</div>
</figcaption>
</figure>
{% endfor %}
</main>
</html>
"""


def write_contact_sheet(samples: Sequence[Sample], title: str, output: Path) -> None:
    """Write an HTML page that needs no other file.

    Raises:
        DataError: a page cannot be opened.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE)
    pages = ((sample, _thumbnail(sample.image)) for sample in samples)
    with atomic(output) as part:
        part.write_text(template.render(title=title, samples=pages, percent=_percent), "utf-8")


def _thumbnail(image: bytes) -> str:
    page = open_page(image).copy()  # which others may have been given
    page.thumbnail((WIDTH, WIDTH))
    encoded = io.BytesIO()
    page.save(encoded, "JPEG", quality=80)
    return base64.b64encode(encoded.getvalue()).decode()


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%"
