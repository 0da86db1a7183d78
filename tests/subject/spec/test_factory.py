import dataclasses
import functools
import hashlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from landscape.errors import DataError, InputError, ModelError, SettingError
from landscape.subject.spec.factory import build, call_factory, load_attribute, require
from landscape.subject.spec.grammar import parse_spec
from landscape.subject.spec.source import source_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory; what a test does to the interpreter is checked and undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    assert sys.path == path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def spec(text):
    return parse_spec(text, schemes=(), what="model")


def load(text: str, error: type[InputError] = ModelError) -> Any:
    return load_attribute(spec(text), error=error)


def make(text: str, error: type[InputError] = ModelError) -> Any:
    return build(spec(text), error=error)


def refused(
    function: Callable[..., object], text: str, error: type[InputError] = ModelError
) -> InputError:
    with pytest.raises(error) as caught:
        function(text, error)
    assert type(caught.value) is error
    assert caught.value.exit == 3
    return caught.value


def test_a_file_and_a_module_are_loaded(folder):
    (folder / "zoo.py").write_text("class Zoo:\n    small = 7\ndef build(): return 'built'\n")
    assert load("zoo.py:build")() == "built"
    assert load("zoo:build")() == "built"
    assert load("zoo:Zoo.small") == 7
    assert make(f"{folder}/zoo.py:build") == "built"


def test_a_file_is_executed_once_until_it_changes(folder):
    file = folder / "once.py"
    file.write_text(
        "from pathlib import Path\n"
        "with Path('runs').open('a') as runs: runs.write('x')\n"
        "a = object()\nb = 2\n"
    )
    first = load("once.py:a")
    assert load("./once.py:b") == 2
    assert load("once.py:a") is first
    assert (folder / "runs").read_text() == "x"
    file.write_text(file.read_text().replace("2", "3"))
    assert load("once.py:b") == 3


def test_classes_of_a_file_can_be_pickled_and_be_dataclasses(folder):
    (folder / "my-net.v2.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Setting:\n    width: int = 3\n"
    )
    setting = make("my-net.v2.py:Setting,width=5")
    assert pickle.loads(pickle.dumps(setting)) == setting
    assert dataclasses.asdict(setting) == {"width": 5}


def test_a_file_does_not_inherit_our_future_imports(folder):
    (folder / "plain.py").write_text("def f(x: int): ...\nkind = f.__annotations__['x']\n")
    assert load("plain.py:kind") is int


def test_neighbours_are_importable_at_import_and_at_call(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "neighbour_one.py").write_text("one = 1\n")
    (folder / "deep" / "neighbour_two.py").write_text("two = 2\n")
    (folder / "deep" / "file.py").write_text(
        "from neighbour_one import one\n"
        "def build():\n    from neighbour_two import two\n    return one + two\n"
    )
    assert make("deep/file.py:build") == 3


def test_the_path_is_restored_when_the_file_takes_its_folder_away(folder):
    (folder / "rude.py").write_text("import sys\nsys.path.pop(0)\nx = 1\n")
    assert load("rude.py:x") == 1


def test_a_missing_file_names_the_nearest(folder):
    (folder / "model.py").write_text("")
    failure = refused(load, "modle.py:build", DataError)
    assert failure.what == "there is no file 'modle.py'"
    assert "model.py" in failure.why
    assert str(folder) in failure.where


def test_a_missing_module(folder):
    for text in ("absent_module:f", "absent_module.deep:f", "json.absent:f"):
        failure = refused(load, text)
        assert failure.what == f"there is no module '{text[:-2]}'"
        assert str(folder) in failure.where


@pytest.mark.parametrize("text", ["outer.py:f", "outer:f"])
def test_a_module_missing_inside_is_another_message(folder, text):
    (folder / "outer.py").write_text("import json\n\nimport absent_inner.deep\n")
    failure = refused(load, text)
    assert "imports the module 'absent_inner', which is missing" in failure.what
    assert failure.where == f"{folder}/outer.py:3"
    assert "install" in failure.hint


def test_a_module_missing_inside_a_module_imported_inside(folder):
    (folder / "outer.py").write_text("import middle\n")
    (folder / "middle.py").write_text("x = 1\nimport absent_inner\n")
    assert refused(load, "outer:f").where == f"{folder}/middle.py:2"
    assert "middle" not in sys.modules
    assert "outer" not in sys.modules


def test_a_missing_attribute_lists_the_nearest(folder):
    (folder / "zoo.py").write_text("import os\ndef build_small(): ...\ndef other(): ...\n")
    failure = refused(load, "zoo.py:biuld_small")
    assert "has no attribute 'biuld_small'" in failure.what
    assert failure.why == "it has build_small"
    assert failure.where == f"{folder}/zoo.py"
    assert refused(load, "zoo.py:q").why == "it has build_small, other"
    assert refused(load, "zoo.py:other.part").exit == 3
    (folder / "void.py").write_text("")
    assert refused(load, "void.py:q").why == "it defines nothing"


def test_an_attribute_that_raises(folder):
    (folder / "lazy.py").write_text(
        "def __getattr__(name):\n    raise RuntimeError('no ' + name)\n"
    )
    failure = refused(load, "lazy.py:build")
    assert "failed when it was imported" in failure.what
    assert failure.where == f"{folder}/lazy.py:2"


@pytest.mark.parametrize(
    ("code", "line", "why"),
    [
        ("x = 1\nx / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
        ("def f(:\n", 1, "SyntaxError"),
        ("import sys\n\nsys.exit(2)\n", 3, "SystemExit: 2"),
        ("from json import nothing\n", 1, "cannot import name 'nothing'"),
        ("raise ModuleNotFoundError('by hand')\n", 1, "by hand"),
    ],
)
def test_code_that_raises_at_import(folder, code, line, why):
    (folder / "broken.py").write_text(code)
    modules = set(sys.modules)
    for text in ("broken.py:f", "broken:f"):
        failure = refused(load, text)
        assert "failed when it was imported" in failure.what
        assert failure.where == f"{folder}/broken.py:{line}"
        assert why in failure.why
        for foreign in ("importlib", "attribute.py", "decoder.py"):
            assert foreign not in failure.why
    assert not {name for name in set(sys.modules) - modules if "landscape_file" in name}


def test_a_relative_import_of_a_single_file(folder):
    (folder / "part.py").write_text("from . import other\n")
    failure = refused(load, "part.py:f")
    assert "relative import" in failure.what
    assert "pkg.mod:factory" in failure.hint


def test_an_unreadable_file(folder):
    (folder / "binary.py").write_bytes(b"\x80\x81\x82")
    assert "SyntaxError" in refused(load, "binary.py:f").why


def test_a_deep_recursion_is_shown_by_its_last_frames(folder):
    (folder / "deep.py").write_text("def f(): return f()\n")
    failure = refused(make, "deep.py:f")
    assert "earlier frames" in failure.why
    assert len(failure.why.splitlines()) < 20
    assert "RecursionError" in failure.why


def test_missing_arguments_show_the_signature(folder):
    (folder / "zoo.py").write_text("def build(depth: int, width: int = 16, *a, **k) -> None: ...\n")
    failure = refused(make, "zoo.py:build,width=3")
    assert failure.what == "'zoo.py:build,width=3' needs depth"
    assert failure.where == "build(depth, width=16, *a, **k)"
    assert failure.hint == "add depth=VALUE to it"
    assert make("zoo.py:build,depth=3,anything=4") is None


def test_unknown_options_show_the_signature(folder):
    (folder / "zoo.py").write_text("def build(*, width=16): return width\ndef p(a, /): ...\n")
    failure = refused(make, "zoo.py:build,wdth=3")
    assert failure.what == "'zoo.py:build,wdth=3' takes no wdth"
    assert failure.where == "build(*, width=16)"
    assert refused(make, "zoo.py:p,a=3").what == "'zoo.py:p,a=3' needs a and takes no a"


def test_a_factory_that_raises_shows_the_users_frames(folder):
    (folder / "zoo.py").write_text(
        "import json\n\ndef build(text='{'):\n    return inner(text)\n\n"
        "def inner(text):\n    return json.loads(text)\n"
    )
    failure = refused(make, "zoo.py:build")
    assert failure.what == "'zoo.py:build' failed when it was called"
    assert failure.where == f"{folder}/zoo.py:7"
    assert "in build" in failure.why
    assert "in inner" in failure.why
    assert "decoder.py" not in failure.why
    assert failure.why.splitlines()[-1].startswith("json.decoder.JSONDecodeError")


def test_our_own_errors_pass_through():
    def factory():
        raise SettingError("ours", hint="mend it")

    with pytest.raises(SettingError, match="ours"):
        call_factory(factory, {}, text="t", error=ModelError)


def test_what_is_not_a_factory_is_returned_as_it_is(folder):
    (folder / "ready.py").write_text("batches = [1, 2]\n")
    assert make("ready.py:batches") == [1, 2]
    failure = refused(make, "ready.py:batches,n=3")
    assert "is a ready list and takes no options" in failure.what


def test_a_network_is_callable_but_no_factory():
    class Network:
        def forward(self): ...

        def __call__(self): ...

    network = Network()
    assert call_factory(network, {}, text="t", error=ModelError) is network
    assert isinstance(call_factory(Network, {}, text="t", error=ModelError), Network)


def test_other_callables_are_factories():
    partial = functools.partial(int, "ff")
    assert call_factory(partial, {"base": 16}, text="t", error=ModelError) == 255
    assert call_factory(dict, {"a": 1}, text="t", error=ModelError) == {"a": 1}


def test_sources(folder):
    code = b"class Net: ...\ndef build(): return Net()\nready = [1]\n"
    (folder / "zoo.py").write_bytes(code)
    for text in ("zoo.py:build", "zoo:build"):
        source = source_of(load(text))
        assert source is not None
        assert source.path == str(folder / "zoo.py")
        assert source.sha256 == hashlib.sha256(code).hexdigest()
        assert source_of(make(text)) == source
    assert source_of(make("zoo.py:ready")) is None
    assert source_of(object()) is None


def test_an_optional_package(monkeypatch):
    assert require("json.decoder", install="pip", error=DataError).__name__ == "json.decoder"
    monkeypatch.setitem(sys.modules, "json", None)
    monkeypatch.delitem(sys.modules, "json.decoder")
    with pytest.raises(DataError, match="json is not installed") as caught:
        require("json.decoder", install="pip install json", error=DataError)
    assert caught.value.hint == "pip install json"


def test_a_broken_optional_package(folder, monkeypatch):
    (folder / "broken_extra.py").write_text("raise RuntimeError('operator does not exist')\n")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ModelError, match="broken_extra cannot be imported") as caught:
        require("broken_extra", install="pip install broken_extra", error=ModelError)
    assert "operator does not exist" in caught.value.why
    monkeypatch.undo()
