"""What the tests of the phases share."""

import pytest
from papers import engines_of


@pytest.fixture
def engines():
    return engines_of()
