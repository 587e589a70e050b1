"""Embeddings computed elsewhere in a comparison: what is refused before any work is done."""

import pytest

from simreal.core.errors import UsageError
from simreal.pipeline.elsewhere import check_elsewhere, digest_elsewhere
from simreal.pipeline.plan import make_plan
from simreal.pipeline.settings import RunSettings


def settings(path, **changes):
    asked = {"encoder": "file", "embeddings": str(path), "ceiling": "none"} | changes
    return RunSettings(sim="toy-sim", obs="toy-survey", **asked)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "v.npz").write_bytes(b"one")
    return tmp_path / "v.npz"


def test_what_embeds_anew_is_refused_with_the_way_out(path):
    check_elsewhere(settings(path))
    for changes, remedy in (
        ({"ceiling": "pixel-permuted"}, "add --ceiling none"),
        ({"mode": "frozen"}, "leave --mode out"),
        ({"audit": "full"}, "take --audit fast"),
        ({"nuisance": True}, "leave --nuisance out"),
        ({"plants": ("psf=0.05",)}, "leave --plant out"),
        ({"encoder_seeds": 2}, "leave --encoder-seeds out"),
    ):
        name = next(iter(changes))
        with pytest.raises(UsageError, match=f"^{name}: this embeds images anew.*{remedy}$"):
            check_elsewhere(settings(path, **changes))


def test_the_file_and_its_encoder_come_together(path):
    with pytest.raises(UsageError, match="with --encoder pca, allowed with --encoder file"):
        check_elsewhere(settings(path, encoder="pca"))
    with pytest.raises(UsageError, match=r"name the file of vectors.*--embeddings"):
        check_elsewhere(settings(path, embeddings=None))
    with pytest.raises(UsageError, match=r"no such file as .*none\.npz"):
        make_plan(settings(path.with_name("none.npz")))


def test_another_content_of_the_same_file_is_embedded_again(path):
    before = make_plan(settings(path)).embed_keys
    assert make_plan(settings(path)).embed_keys == before
    path.write_bytes(b"two")
    after = make_plan(settings(path)).embed_keys
    assert set(after.values()).isdisjoint(before.values())


def test_ids_beside_an_array_count_as_its_content(tmp_path):
    array = tmp_path / "v.npy"
    array.write_bytes(b"one")
    alone = digest_elsewhere(settings(array), "file")
    array.with_suffix(".txt").write_text("a\n")
    assert digest_elsewhere(settings(array), "file") != alone
    assert digest_elsewhere(settings(array), "morphology") == {}
