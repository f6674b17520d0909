"""What the door mends in Paddle: its guards put back what they changed, however they are left."""

import pytest

from mnist.fluid.door import fluid


def what_is_in_force():
    framework = fluid.framework
    return (
        framework._dygraph_tracer(),
        framework._current_expected_place().__class__,
        fluid.default_main_program(),
        fluid.unique_name.generator,
        fluid.global_scope(),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: fluid.dygraph.guard(fluid.CPUPlace()),
        lambda: fluid.unique_name.guard(),
        lambda: fluid.scope_guard(fluid.Scope()),
    ],
)
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_a_guard_puts_back_what_it_changed(make, error):
    before = what_is_in_force()
    try:
        with make():
            assert what_is_in_force() != before
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as caught:
        assert type(caught) is error
    else:
        assert error is None
    assert what_is_in_force() == before
