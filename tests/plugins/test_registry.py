"""Who gets a name: claims, conflicts, names registered at run time, and what the user reads of unknown ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mf_core.errors import (
    AlreadyRegisteredError,
    ConflictError,
    NotInstalledError,
    NotRegisteredError,
    PluginError,
    TargetError,
)
from mf_core.plugins.manager import PluginRecord, Spec, State
from mf_core.plugins.registry import RUNTIME, Registry
from mf_core.specs import BackendSpec, ConfigSpec, ModelSpec, Preset, TaskSpec, TokenizerSpec


class Mine:
    """A class of the user's own."""


class Other(Mine):
    """Another."""


def record(distribution: str, *specs: Spec, state: State = "loaded", error: Exception | None = None) -> PluginRecord:
    name = distribution.removeprefix("mf-")
    return PluginRecord(
        name, f"mf_{name}.plugin", distribution, "1.0", "/somewhere", "mf_core.v1", state, error=error, specs=specs
    )


def family(name: str, *presets: str, package: str | None = None, aliases: tuple[str, ...] = ()) -> list[Spec]:
    package = package or f"mf_{name}"
    return [
        ConfigSpec(
            model_type=name,
            target=f"{package}.config:{name.title()}Config",
            presets=tuple(Preset(name=preset, aliases=aliases) for preset in presets),
        ),
        ModelSpec(model_type=name, target=f"{package}.modeling:{name.title()}Model", heads=("base", "causal_lm")),
        TokenizerSpec(model_type=name, target=f"{package}.tokenization:{name.title()}Tokenizer"),
    ]


ALPHA = record("mf-alpha", *family("shared", "shared_tiny", "alpha_tiny", package="mf_alpha"))
BETA = record("mf-beta", *family("shared", "shared_tiny", "beta_tiny", package="mf_beta"))
MAMBA = record("mf-mamba", *family("mamba", "mamba_tiny", "mamba_large"))
CPU = record("mf-cpu-backend", BackendSpec(name="cpu", target="mf_cpu_backend.backend:CPUBackend"))
TASK = record("mf-framework", TaskSpec(name="classify", pipeline="a.b:Classifier", aliases=("text-classification",)))


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Return a function that makes a registry in which just the given plugins are installed."""
    monkeypatch.delenv("MF_PREFER", raising=False)

    def registry(*records: PluginRecord) -> Registry:
        monkeypatch.setattr("mf_core.plugins.registry.load_plugins", lambda builtins: list(records))
        return Registry()

    return registry


# Claims -------------------------------------------------------------------------------------------------------------


def test_every_name_of_a_spec_is_found(make: Callable[..., Registry]) -> None:
    registry = make(TASK, CPU, record("mf-mamba", *family("mamba", "mamba_tiny", aliases=("mamba-tiny",))))
    assert registry.names("preset") == ["mamba-tiny", "mamba_tiny"]
    assert registry.find("preset", "mamba-tiny").preset == registry.find("preset", "mamba_tiny").preset
    assert registry.find("preset", "mamba_tiny").model_type == "mamba"
    for kind in ("config", "model:base", "model:causal_lm", "tokenizer"):
        assert registry.names(kind) == ["mamba"]
        assert registry.find(kind, "mamba").owner == "mf-mamba"
    assert registry.names("processor") == []
    assert registry.names("task") == ["classify", "text-classification"]
    assert registry.names("backend") == ["cpu"]
    assert registry.find("export", "MambaModel").target == "mf_mamba.modeling:MambaModel"
    assert [e.name for e in registry.entries("export")] == [
        "CPUBackend", "Classifier", "MambaConfig", "MambaModel", "MambaTokenizer",
    ]  # fmt: skip


def test_nothing_is_loaded_before_the_first_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("mf_core.plugins.registry.load_plugins", lambda builtins: calls.append(builtins) or [MAMBA])
    registry = Registry()
    assert calls == []
    assert registry.names("preset") == registry.names("preset")
    assert registry.records == [MAMBA]
    assert len(calls) == 1


def test_first_look_up_that_fails_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PluginError("a plugin is left out")])

    def load(builtins: object) -> list[PluginRecord]:
        for error in answers:
            raise error
        return [MAMBA]

    monkeypatch.setattr("mf_core.plugins.registry.load_plugins", load)
    registry = Registry()
    with pytest.raises(PluginError, match="left out"):
        registry.names("config")
    assert registry.names("config") == ["mamba"]
    assert registry.find("config", "mamba").owner == "mf-mamba"


# Conflicts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, name", [("preset", "shared_tiny"), ("config", "shared"), ("model:causal_lm", "shared")])
def test_name_in_conflict(make: Callable[..., Registry], kind: str, name: str) -> None:
    registry = make(ALPHA, BETA)
    assert registry.has(kind, name)
    with pytest.raises(ConflictError) as caught:
        registry.find(kind, name)
    label = kind.partition(":")[0]
    assert f"the {label} {name!r} is claimed by mf-alpha and mf-beta" in str(caught.value)
    assert f"'mf-alpha:{name}'" in str(caught.value)
    assert "MF_PREFER=mf-alpha" in str(caught.value)
    assert caught.value.value == name


def test_owner_settles_a_conflict(make: Callable[..., Registry]) -> None:
    registry = make(ALPHA, BETA)
    assert registry.find("config", "shared", "mf-beta").owner == "mf-beta"
    assert registry.find("config", "mf-alpha:shared", "mf-beta").owner == "mf-alpha"  # the user's word counts more
    with pytest.raises(ConflictError):
        registry.find("config", "shared", "mf-gamma")


def test_owner_matters_in_conflicts_only(make: Callable[..., Registry]) -> None:
    assert make(MAMBA).find("config", "mamba", "mf-gamma").owner == "mf-mamba"


@pytest.mark.parametrize(
    "prefer, owner",
    [
        ("mf-beta", "mf-beta"),
        ("MF_Beta", "mf-beta"),
        ("mf-gamma, mf-beta, mf-alpha", "mf-beta"),
        ("mf-beta:other, mf-alpha", "mf-alpha"),
        ("mf-beta:shared_tiny, mf-alpha", "mf-beta"),
    ],
)
def test_preference_settles_a_conflict(
    make: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch, prefer: str, owner: str
) -> None:
    registry = make(ALPHA, BETA)
    monkeypatch.setenv("MF_PREFER", prefer)
    assert registry.find("preset", "shared_tiny").owner == owner
    assert registry.find("preset", "alpha_tiny").owner == "mf-alpha"


# Names registered at run time ---------------------------------------------------------------------------------------


def test_add(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA)
    registry.add("model:base", "mine", Mine)
    entry = registry.find("model:base", "mine")
    assert (entry.owner, entry.load()) == (RUNTIME, Mine)
    assert registry.find("export", "Mine").load() is Mine
    assert registry.names("model:base") == ["mamba", "mine"]


def test_add_does_not_replace_unless_asked(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA)
    with pytest.raises(AlreadyRegisteredError) as caught:
        registry.add("config", "mamba", Mine)
    assert "the config 'mamba' is already provided by mf-mamba" in str(caught.value)
    assert "exist_ok=True" in str(caught.value)
    assert registry.find("config", "mamba").owner == "mf-mamba"
    registry.add("config", "mamba", Mine, exist_ok=True)
    assert registry.find("config", "mamba").load() is Mine
    assert registry.names("config") == ["mamba"]
    assert registry.find("tokenizer", "mamba").owner == "mf-mamba"


def test_add_twice(make: Callable[..., Registry]) -> None:
    registry = make()
    registry.add("tokenizer", "mine", Mine)
    with pytest.raises(AlreadyRegisteredError, match="already provided by"):
        registry.add("tokenizer", "mine", Other)
    registry.add("tokenizer", "mine", Other, exist_ok=True)
    assert registry.find("tokenizer", "mine").load() is Other


def test_add_settles_a_conflict(make: Callable[..., Registry]) -> None:
    registry = make(ALPHA, BETA)
    with pytest.raises(AlreadyRegisteredError):
        registry.add("config", "shared", Mine)
    registry.add("config", "shared", Mine, exist_ok=True)
    assert registry.find("config", "shared").load() is Mine


def test_plugins_are_reachable_by_owner_after_add(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA)
    registry.add("config", "mamba", Mine, exist_ok=True)
    assert registry.has("config", "mf-mamba:mamba")
    assert registry.find("config", "mf-mamba:mamba").owner == "mf-mamba"


def test_registries_share_nothing(make: Callable[..., Registry]) -> None:
    first, second = make(), Registry()
    first.add("config", "mine", Mine)
    assert not second.has("config", "mine")
    assert not second.has("export", "Mine")


# Unknown names ------------------------------------------------------------------------------------------------------


def test_unknown_name_shows_close_and_installed_ones(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA)
    assert not registry.has("preset", "mamba_tony")
    with pytest.raises(NotRegisteredError) as caught:
        registry.find("preset", "mamba_tony")
    assert "no installed plugin provides the preset 'mamba_tony'" in str(caught.value)
    assert "did you mean 'mamba_tiny'?" in str(caught.value)
    assert "installed: mamba_large, mamba_tiny" in str(caught.value)
    with pytest.raises(NotRegisteredError, match="did you mean 'mamba_tiny'"):
        registry.find("preset", "MAMBA_TINY")


def test_unknown_name_that_is_close_to_nothing(make: Callable[..., Registry]) -> None:
    with pytest.raises(NotRegisteredError) as caught:
        make(MAMBA).find("config", "xyzzy")
    assert "did you mean" not in str(caught.value)
    assert "installed: mamba" in str(caught.value)
    with pytest.raises(NotRegisteredError, match="`mf models --installable`"):
        make().find("config", "xyzzy")


def test_name_that_the_named_plugin_has_not(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA, ALPHA)
    with pytest.raises(NotRegisteredError) as caught:
        registry.find("preset", "mf-mamba:alpha_tiny")
    assert "mf-mamba does not provide the preset 'alpha_tiny'" in str(caught.value)
    assert "installed: mamba_large, mamba_tiny" in str(caught.value)


def test_plugin_that_is_not_installed(make: Callable[..., Registry]) -> None:
    with pytest.raises(NotRegisteredError) as caught:
        make(MAMBA).find("preset", "mf-manba:mamba_tiny")
    assert "no plugin called 'mf-manba' is installed, whose preset 'mamba_tiny' was asked for" in str(caught.value)
    assert "did you mean 'mf-mamba'?" in str(caught.value)


@pytest.mark.parametrize(
    "kind, name, package",
    [
        ("preset", "gpt2_xl", "mf-gpt2"),
        ("export", "GPT2Config", "mf-gpt2"),
        ("preset", "pangualpha_2_6b", "mf-pangualpha"),
        ("export", "PanguAlphaHeadModel", "mf-pangualpha"),
        ("config", "pangualpha", "mf-pangualpha"),
        ("backend", "ascend", "mf-ascend-backend"),
        ("preset", "mf-pangualpha:mamba_tiny", "mf-pangualpha"),
    ],
)
def test_published_package_that_is_not_installed(
    make: Callable[..., Registry], kind: str, name: str, package: str
) -> None:
    with pytest.raises(NotInstalledError) as caught:
        make(MAMBA, CPU).find(kind, name)
    assert repr(name) in str(caught.value)
    assert f"try: pip install {package}" in str(caught.value)
    assert caught.value.value == name


def test_unknown_name_of_a_published_package_that_is_installed(make: Callable[..., Registry]) -> None:
    registry = make(record("mf-gpt2", *family("gpt2", "gpt2", "gpt2_xl")))
    with pytest.raises(NotRegisteredError) as caught:
        registry.find("preset", "gpt2_xxl")
    assert "did you mean 'gpt2_xl'" in str(caught.value)
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize("name", ["gpt2", "mf-gpt2:gpt2"])
def test_name_of_a_plugin_that_failed(make: Callable[..., Registry], name: str) -> None:
    with pytest.raises(PluginError) as caught:
        make(MAMBA, record("mf-gpt2", state="failed", error=ValueError("no luck"))).find("preset", name)
    assert f"the preset {name!r} belongs to mf-gpt2, which is installed but not loaded" in str(caught.value)
    assert "ValueError: no luck" in str(caught.value)
    assert "mf plugins --verbose" in str(caught.value)
    with pytest.raises(PluginError, match="not on the MF_PLUGINS list"):
        make(record("mf-gpt2", state="not allowed")).find("preset", name)


def test_unknown_name_beside_plugins_that_failed(make: Callable[..., Registry]) -> None:
    registry = make(MAMBA, record("mf-zebra", state="failed", error=ValueError("no luck")))
    with pytest.raises(NotRegisteredError, match="not loaded: mf-zebra"):
        registry.find("preset", "xyzzy")


@pytest.mark.parametrize("name", ["", ":", "mf-mamba:", ":mamba_tiny", "a:b:c", "mamba tiny\n"])
def test_odd_names_are_unknown(make: Callable[..., Registry], name: str) -> None:
    registry = make(MAMBA)
    assert not registry.has("preset", name)
    with pytest.raises(NotRegisteredError) as caught:
        registry.find("preset", name)
    assert caught.value.value == name


def test_a_family_without_the_head_is_not_said_to_be_missing(make: Callable[..., Registry]) -> None:
    specs = [ModelSpec(model_type="bert", target="mf_bert.modeling:Bert", heads=("base", "masked_lm"))]
    with pytest.raises(NotRegisteredError) as caught:
        make(record("mf-bert", *specs)).find("model:causal_lm", "bert")
    assert "the family 'bert' of mf-bert has no model with the head 'causal_lm'" in str(caught.value)
    assert "base, masked_lm" in str(caught.value)


# Targets ------------------------------------------------------------------------------------------------------------


def test_load(make: Callable[..., Registry]) -> None:
    registry = make(record("mf-stdlib", ConfigSpec(model_type="x", target="collections.abc:Mapping")))
    from collections.abc import Mapping

    assert registry.find("config", "x").load() is Mapping


def test_load_says_whose_target_is_missing(make: Callable[..., Registry]) -> None:
    registry = make(record("mf-stdlib", ConfigSpec(model_type="x", target="collections.abc:Nothing")))
    with pytest.raises(TargetError, match=r"mf-stdlib offers 'collections.abc:Nothing'.* has no 'Nothing'"):
        registry.find("config", "x").load()
