"""What the tests of the planner share: a run of every stage that has no data."""

from dataclasses import replace

import pytest
from papers import SETTINGS

from spt_dist import config


@pytest.fixture(scope="session")
def settings():
    stage = config.Stage(images=8, warm_up=0.5)
    stages = config.Stages(pose=stage, semantic=stage, appearance=stage, end_to_end=stage)
    appearance = replace(SETTINGS.networks.appearance, flat_colour_input=True, blend=("flat", "background"))
    semantic = replace(SETTINGS.networks.semantic, warped_input=True)
    networks = replace(SETTINGS.networks, appearance=appearance, semantic=semantic)
    losses = replace(SETTINGS.losses, region_colour=1.0, reconstruction=1.0)
    data = replace(SETTINGS.data, batch=4, shards="nowhere")
    return replace(SETTINGS, networks=networks, losses=losses, stages=stages, data=data)
