from importlib.metadata import version

from prism_core.environments.closure import closure, required


def test_a_closure_holds_what_is_required_with_its_reason():
    pins = {pin.name: pin for pin in closure({"prism-sklearn": "it loads the model"})}

    assert pins["prism-sklearn"].reason == "it loads the model"
    assert pins["scikit-learn"].version == version("scikit-learn")
    assert pins["scikit-learn"].reason == "required by prism-sklearn"
    assert pins["threadpoolctl"].reason == "required by scikit-learn"
    assert "msgspec" in pins  # of prism-core
    assert not pins.keys() & {"litestar", "skops", "onnx"}  # of extras that nobody asked for


def test_an_extra_is_followed_where_it_is_asked_for():
    pins = {pin.name for pin in closure({"prism-core": "a", "prism-core[images]": "b"})}

    assert "pillow" in pins


def test_a_wheel_that_was_made_here_is_told():
    pins = {p.name: p for p in closure({"prism-onnx": ""}, {"prism-onnx": "/wheels/a.whl"})}

    assert pins["prism-onnx"].wheel == "/wheels/a.whl"
    assert pins["numpy"].wheel == ""


def test_what_is_not_installed_is_left_out():
    assert closure({"no-such-thing": ""}) == ()


def test_markers_decide():
    lines = ["a", "b; python_version < '3'", "c; extra == 'x'", "d; python_version == '3.13'", "not a name!"]

    assert [r.name for r in required(lines)] == ["a"]
    assert [r.name for r in required(lines, ("", "x"))] == ["a", "c"]
    assert [r.name for r in required(lines, ("",), {"python_version": "3.13"})] == ["a", "d"]
