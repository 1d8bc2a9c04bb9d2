"""Room: which networks there are. Reads the folder `search_space/`."""

from repvit_nas.search_space.family import Reference, family, reference
from repvit_nas.search_space.space import Choices, Space, load_space

__all__ = ["Choices", "Reference", "Space", "family", "load_space", "reference"]
