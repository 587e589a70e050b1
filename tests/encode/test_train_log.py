"""The log of a training, when it ends, and what it refuses: one line each."""

import json
import sys

import numpy as np
import pytest

from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.encode.encoders import simclr
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.train_log import TrainLog, read_log, stalled

SETTINGS = EncoderSettings(epochs=4, batch=4, threads=1, device="cpu", checkpoint_seconds=0)


def pixels(n=8, seed=0):
    return np.random.default_rng(seed).random((n, 1, 32, 32), dtype=np.float32)


def fit(settings=SETTINGS, images=None, progress=None, groups=None):
    images = pixels() if images is None else images
    groups = np.arange(len(images)) if groups is None else groups
    return simclr.fit(ArraySource(images), groups, settings=settings, seed=5, progress=progress)


class Lazy:
    """A source whose pixels nobody has looked at, as on the store."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def read(self, rows):
        return self.array[rows]


def stamps(name, images):
    ids = np.array([f"{name}{i}" for i in range(len(images))])
    return ImageSet(
        name=name, role="observed", sampling="random", images=Lazy(images), ids=ids, groups=ids,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )  # fmt: skip


class TestLog:
    def test_a_line_per_epoch(self, tmp_path):
        encoder = fit(SETTINGS.replace(log=tmp_path / "deep" / "log.jsonl"))
        text = (tmp_path / "deep" / "log.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
        assert [row["loss"] for row in rows] == encoder.card["loss"]
        # 8 objects in 2 batches.
        assert {row["effective_batch"] for row in rows} == {4}
        for row in rows:
            assert row["seconds"] > 0
            assert row["images_per_second"] == pytest.approx(8 / row["seconds"], rel=0.05)
            assert row["time"].endswith("+00:00")
        # A cosine from its peak to nothing: the last step is the middle of the last eighth.
        rates = [row["learning_rate"] for row in rows]
        assert rates[0] > rates[1] > rates[2] > rates[3] > 0

    def test_it_is_written_while_the_training_runs(self, tmp_path):
        path, seen = tmp_path / "log.jsonl", []
        fit(
            SETTINGS.replace(log=path),
            progress=lambda label, done, total: seen.append(len(read_log(path))),
        )
        assert seen == [1, 2, 3, 4]

    def test_a_resumed_training_has_every_epoch_once(self, tmp_path):
        kept = SETTINGS.replace(checkpoints=tmp_path / "kept", log=tmp_path / "log.jsonl")

        def kill(label, done, total):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(kept, progress=kill)
        # The newest checkpoint is lost, and the last line cut.
        sorted((tmp_path / "kept").iterdir())[-1].unlink()
        with open(tmp_path / "log.jsonl", "a") as log:
            log.write('{"epoch": 4, "lo')
        again = fit(kept)
        rows = read_log(tmp_path / "log.jsonl")
        assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
        assert [row["loss"] for row in rows] == again.card["loss"]

    def test_the_log_changes_no_weight(self, tmp_path):
        assert fit(SETTINGS.replace(log=tmp_path / "log.jsonl")).digest == fit().digest

    def test_a_place_that_cannot_be_written_is_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="could not write the training log") as refused:
            fit(SETTINGS.replace(log=tmp_path / "file" / "log.jsonl"))
        assert "\n" not in str(refused.value)

    def test_tensorboard_that_is_not_installed_is_one_line(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(UsageError, match=r"pip install 'simreal\[tensorboard\]'") as refused:
            fit(SETTINGS.replace(tensorboard=tmp_path))
        assert "\n" not in str(refused.value)

    def test_tensorboard_gets_what_the_lines_say(self, tmp_path, monkeypatch):
        """A stand-in for the writer: the extra is not needed to test what is sent to it."""
        sent = []

        class Writer:
            def __init__(self, folder, purge_step):
                sent.append(("open", folder, purge_step))

            def add_scalar(self, name, value, step):
                sent.append((name, value, step))

            def flush(self):
                pass

            def close(self):
                sent.append(("close",))

        from types import SimpleNamespace

        monkeypatch.setitem(
            sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer)
        )
        encoder = fit(SETTINGS.replace(tensorboard=tmp_path))
        assert sent[0] == ("open", str(tmp_path), 1)
        assert [row[1] for row in sent if row[0] == "loss"] == encoder.card["loss"]
        assert sent[-1] == ("close",)

    def test_nothing_is_written_where_nothing_was_asked_for(self, tmp_path):
        log = TrainLog.open(None, None, done=0)
        log.epoch(1, loss=1.0, rate=0.1, images=2, batch=2)
        log.close()
        assert not list(tmp_path.iterdir())


class TestEnd:
    def test_it_ends_when_the_objective_no_longer_falls(self):
        """A rate at which nothing is learned: the loss of random views goes up and down."""
        still = SETTINGS.replace(epochs=15, learning_rate=1e-12)
        encoder = fit(still.replace(patience=2))
        loss = encoder.card["loss"]
        assert len(loss) < 15
        assert stalled(loss, 2)
        assert not any(stalled(loss[:n], 2) for n in range(len(loss)))
        assert encoder.card["recipe"]["patience"] == 2
        assert loss == fit(still).card["loss"][: len(loss)]

    def test_it_never_ends_early_by_default(self):
        encoder = fit(SETTINGS.replace(epochs=6, learning_rate=1e-12))
        assert len(encoder.card["loss"]) == 6
        assert "patience" not in encoder.card["recipe"]

    def test_a_training_that_ended_is_not_resumed(self, tmp_path):
        still = SETTINGS.replace(
            epochs=15, learning_rate=1e-12, patience=1, checkpoints=tmp_path, checkpoint_seconds=1e9
        )
        first, seen = fit(still), []
        again = fit(still, progress=lambda *a: seen.append(a))
        assert again.digest == first.digest
        assert seen == []

    def test_patience_is_checked(self):
        with pytest.raises(UsageError, match=r"encoder\.patience: got 0"):
            EncoderSettings(patience=0)


class TestRefused:
    def test_a_pixel_that_is_not_finite_names_its_image(self):
        broken = pixels(seed=1)
        broken[7, 0, 3, 3] = np.nan
        with pytest.raises(NotComputableError) as refused:
            fit_encoder("simclr", [stamps("a", pixels()), stamps("b", broken)], settings=SETTINGS)
        assert str(refused.value).startswith("b: image 'b7' has a pixel that is not finite")
        assert "\n" not in str(refused.value)

    def test_one_image_is_one_line(self):
        with pytest.raises(NotComputableError, match="needs 8 objects or more to be fitted, got 1"):
            fit(images=pixels(1))

    def test_fewer_objects_than_a_batch_are_one_batch(self):
        encoder = fit(SETTINGS.replace(batch=512, epochs=2))
        assert np.isfinite(encoder.card["loss"]).all()
        assert np.isfinite(encoder.encode(ArraySource(pixels()))).all()

    @pytest.mark.parametrize("level", [0.0, 0.7])
    def test_images_that_are_all_one_level_are_refused(self, level):
        with pytest.raises(NotComputableError, match="every pixel of every image is the same"):
            fit(images=np.full((8, 1, 32, 32), level, np.float32))

    def test_a_constant_image_among_others_is_no_matter(self):
        images = pixels()
        images[3] = 0.5
        encoder = fit(SETTINGS.replace(epochs=2), images=images)
        assert np.isfinite(embed(encoder, stamps("mine", images)).vectors).all()
