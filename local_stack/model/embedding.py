"""A small deterministic embedding: hashed words and word pairs, signed, with unit length.

Two texts are near if they share words. It knows no meaning: a paraphrase in other words is distant.
"""

import re
import zlib
from collections import Counter
from itertools import pairwise

import numpy as np

DEFAULT_DIMENSIONS = 256
MAXIMUM_DIMENSIONS = 3072
_WORD = re.compile(r"[\w%]+")


def embed(text: str, dimensions: int = DEFAULT_DIMENSIONS) -> list[float]:
    """The vector of a text; all zeros if it has no word."""
    words = _WORD.findall(text.lower())
    features = Counter(words) + Counter(f"{one} {other}" for one, other in pairwise(words))
    vector = np.zeros(dimensions)
    for feature, count in features.items():
        digest = zlib.crc32(feature.encode())
        vector[digest % dimensions] += np.sqrt(count) * (1.0 if digest >> 31 else -1.0)
    length = float(np.linalg.norm(vector))
    unit: list[float] = (vector / length if length else vector).tolist()
    return unit
