from __future__ import annotations

import pytest

from landscape.errors import ModelError
from landscape.subject.outputs import logits_of


def test_an_object_without_a_tensor_is_refused():
    with pytest.raises(ModelError, match="returned str"):
        logits_of("text")
