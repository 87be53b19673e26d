"""SPT at cluster scale: draw a given person in a new pose, learning from unpaired photos only."""

__version__ = "0.1.0"
