from types import ModuleType
from typing import Any

import numpy as np

def use(single: object, wide: object) -> None: ...
def learn(
    numpy: ModuleType, known: dict[np.dtype[Any], tuple[int, bool]], work: int, read: int
) -> None: ...
def cosines(X: Any, Y: Any, paired: bool, distance: bool) -> Any: ...
