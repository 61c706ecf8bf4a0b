"""Settings of augmentation that cannot be."""

import math
from typing import Any

import pytest

from model_core.errors import SettingsError
from model_core.training.data.augment import Augmentation


@pytest.mark.parametrize(
    "wrong",
    [
        {"reverberation": 1.1},
        {"two_sources": 0.6, "three_sources": 0.6},
        {"gain_db": (3.0, -3.0)},
        {"rt60": (0.0, 1.0)},
        {"mix_db": (math.nan, 0.0)},
        {"inversion": -0.1},
        {"clipping": 2.0},
        {"band_hz": (0.0, 4000.0)},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Augmentation(**wrong)
