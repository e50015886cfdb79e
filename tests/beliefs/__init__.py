"""What we believe about pip, asked of pip itself: several versions of it, each in a process of its own."""

import pytest

pytest.register_assert_rewrite("tests.beliefs.calls")
