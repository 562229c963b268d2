"""Synthetic camera-trap surveys with known truth: coats, bodies, scenes and cameras. Pure numpy, OpenCV and Pillow."""

from modelzoo.synthetic.coat import Coat, coat_texture
from modelzoo.synthetic.crops import Crop, make_crop, render_crop, render_pair_catalogue
from modelzoo.synthetic.plan import PlannedPhoto, SurveyPlan, plan_survey
from modelzoo.synthetic.render import RenderedPhoto, render_photo
from modelzoo.synthetic.write import write_survey

__all__ = [
    "Coat",
    "Crop",
    "PlannedPhoto",
    "RenderedPhoto",
    "SurveyPlan",
    "coat_texture",
    "make_crop",
    "plan_survey",
    "render_crop",
    "render_pair_catalogue",
    "render_photo",
    "write_survey",
]
