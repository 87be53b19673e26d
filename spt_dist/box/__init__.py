"""The model in the box: a small trained run that comes with the package, so that it draws right after installation.

README.md beside this file is its card: data, licence, budget, scores, limits. The folder is one that `spt train` and
`spt evaluate` wrote, less what only training needs.
"""

from pathlib import Path

NAME = "box"  # in place of a run's folder, on the command line
OFF = "off"  # in place of an annotator's name: none
RUN = Path(__file__).parent
WEIGHTS = RUN / "weights"
ANNOTATOR = RUN / "annotator"  # the network that finds joints and parsing maps in photos, with a card of its own
