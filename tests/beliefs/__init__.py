"""Tests of pinstall's assumptions about pip, checked against pip itself: several versions, each in its own process."""

import pytest

pytest.register_assert_rewrite("tests.beliefs.calls")
