import subprocess
import sys
from collections.abc import Collection

import pytest

from landscape.errors import LandscapeError, ModelError, SpecError
from landscape.subject.spec.grammar import GRAMMAR, Spec, parse_spec
from landscape.subject.spec.schemes import (
    DATA_SCHEMES,
    MODEL_SCHEMES,
    describe_schemes,
    example_of,
    reserved,
)


def parse(text: str, schemes: Collection[str] = MODEL_SCHEMES, what: str = "model") -> Spec:
    return parse_spec(text, schemes=schemes, what=what)


@pytest.mark.parametrize(
    ("text", "scheme", "rest"),
    [
        ("torchvision:resnet18", "torchvision", "resnet18"),
        ("  torchvision:resnet18 ", "torchvision", "resnet18"),
        ("hf:./dir", "hf", "./dir"),
        ("lightning:pkg.mod:Class", "lightning", "pkg.mod:Class"),
        ("pkg.mod:factory", "python", "pkg.mod:factory"),
        ("nets:Zoo.small", "python", "nets:Zoo.small"),
        ("path/file.py:factory", "file", "path/file.py:factory"),
        ("file.py:factory", "file", "file.py:factory"),
        ("./a b/file.py:factory", "file", "./a b/file.py:factory"),
        (r"C:\x.py:f", "file", r"C:\x.py:f"),
        ("C:/x.py:f,a=1", "file", "C:/x.py:f"),
        ("runs(1,2)/x.py:f", "file", "runs(1,2)/x.py:f"),
    ],
)
def test_forms(text, scheme, rest):
    spec = parse(text)
    assert (spec.scheme, spec.rest, spec.text) == (scheme, rest, text.strip())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lr=1e-3", 1e-3),
        ("n=10", 10),
        ("n=-1", -1),
        ("flag=True", True),
        ("nothing=None", None),
        ("name='a,b'", "a,b"),
        ('name="a,b=c"', "a,b=c"),
        ("name=''", ""),
        ("sizes=(3, 32)", (3, 32)),
        ("sizes=[1,2,(3,4)]", [1, 2, (3, 4)]),
        ("table={'a': 1, 'b,c': 2}", {"a": 1, "b,c": 2}),
        ("shape=3x32x32", "3x32x32"),
        ("split=test", "test"),
        ("root=/data/a=b", "/data/a=b"),
        (r"root=C:\new\data", r"C:\new\data"),
        (r"root='C:\data,1'", r"C:\data,1"),
        ("name=it's", "it's"),
        ("code=__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("zeros=007", "007"),
        (" spaced = 1 ", 1),
    ],
)
def test_values_are_literals_or_plain_strings(option, value):
    spec = parse(f"m:f,{option},last=2")
    first, last = spec.options.values()
    assert first == value
    assert type(first) is type(value)
    assert last == 2


def test_options_keep_their_order_and_the_rest_may_be_empty():
    spec = parse("random:shape=3x32x32,classes=10", DATA_SCHEMES, "data")
    expected = {"shape": "3x32x32", "classes": 10}
    assert spec == Spec(scheme="random", rest="", options=expected, text=spec.text)
    assert list(spec.options) == ["shape", "classes"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names nothing"),
        ("   ", "names nothing"),
        ("resnet18", "no colon"),
        ("file.py", "no colon"),
        ("a=b:c", "no colon"),
        ("torchvision:", "names nothing"),
        ("torchvision:,a=1", "names nothing"),
        ("torchvision:resnet18,", "empty"),
        ("torchvision:resnet18,,a=1", "empty"),
        ("torchvision:resnet18,num_classes", "'num_classes' is not key=value"),
        ("torchvision:resnet18,num-classes=1", "'num-classes' is not a name"),
        ("torchvision:resnet18,=1", "'' is not a name"),
        ("torchvision:resnet18,a=", "'a' has no value"),
        ("torchvision:resnet18,a=1,a=2", "'a' is given twice"),
        ("torchvision:resnet18,a=(1,2", "no partner"),
        ("torchvision:resnet18,a='x", "no partner"),
        ("torchvison:resnet18", "'torchvison' is not a scheme"),
        ("Torchvision:resnet18", "'Torchvision' is not a scheme"),
        ("HF:gpt2", "'HF' is not a scheme"),
        ("keras:res-net", "'keras' is not a scheme"),
        ("https://example.org/x.py", "'https' is not a scheme"),
        (":factory", "neither a module nor a path"),
        ("pkg.mod:", "not the name of a factory"),
        ("pkg..mod:f", "neither a module nor a path"),
        ("path/file.txt:f", "neither a module nor a path that ends in .py"),
        (r"C:\x.py", "not the name of a factory"),
        ("file.py::f", "neither a module nor a path"),
    ],
)
def test_malformed(text, fault):
    with pytest.raises(SpecError, match="the model spec does not parse") as caught:
        parse(text)
    assert fault in caught.value.why
    assert GRAMMAR in caught.value.why
    assert "write for example" in caught.value.hint
    assert caught.value.exit == 2


def test_a_typo_shows_the_nearest_scheme_and_its_example():
    with pytest.raises(SpecError) as caught:
        parse("torchvison:resnet18")
    assert "torchvision:resnet18,num_classes=10" in caught.value.hint
    assert "the nearest scheme is 'torchvision'" in caught.value.hint


def test_without_a_near_scheme_all_are_listed():
    with pytest.raises(SpecError) as caught:
        parse("q:1", DATA_SCHEMES, "data")
    assert "path/file.py:factory" in caught.value.hint
    assert "schemes: sklearn, npz, torchvision, random)" in caught.value.hint


def test_a_grammar_without_schemes():
    assert parse("file.py:fn", (), "loss").scheme == "file"
    with pytest.raises(SpecError) as caught:
        parse("fn", (), "loss")
    assert caught.value.hint == "write for example path/file.py:factory"


def test_every_example_parses_to_its_own_scheme():
    for what, table in (("model", MODEL_SCHEMES), ("data", DATA_SCHEMES)):
        for name in table:
            assert parse(example_of(what, name), table, what).scheme == name


def test_described_schemes_are_the_supported_ones():
    models = {row[0] for row in describe_schemes("models")}
    data = {row[0] for row in describe_schemes("data")}
    assert models == {"python", "file", "torchvision"}
    assert data == {"python", "file", "sklearn", "npz", "torchvision", "random"}


@pytest.mark.parametrize("table", [MODEL_SCHEMES, DATA_SCHEMES], ids=["models", "data"])
def test_a_reserved_scheme_says_what_to_write(table):
    found = {name: scheme for name, scheme in table.items() if scheme.instead}
    assert found
    for name, scheme in found.items():
        failure = reserved(name, scheme, rest="it's", text="?", error=ModelError)
        assert isinstance(failure, LandscapeError)
        factory = failure.hint.partition("\n")[2]
        compile(factory, name, "exec")
        assert len(factory.splitlines()) == 3


def test_specs_are_read_without_torch():
    script = (
        "import sys;"
        "from landscape.subject.spec import factory, grammar, schemes;"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_only_what_can_be_loaded_is_offered():
    with pytest.raises(SpecError) as raised:
        parse("nonsense")
    assert "schemes: torchvision)" in raised.value.hint
    with pytest.raises(SpecError) as raised:
        parse("lightnin:a.b:C")
    assert "nearest" not in raised.value.hint
