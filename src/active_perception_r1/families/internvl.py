"""InternVL3.5: boxes between special tokens."""

from active_perception_r1.families._family import Family

FAMILY = Family(("internvl",), fixed_resolution=True, marks=("<box>", "</box>", "<ref>", "</ref>"))
