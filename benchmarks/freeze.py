"""Fill in what a draft benchmark card cannot know by heart, and seal it.

    python benchmarks/freeze.py benchmarks/toy-v1.toml

Writes the observed list beside the card (every object of the observed collection that the encoder
was not trained on), and into the card its sha256 and length, the digests of the encoder, what every
metric reads on the reference points, and the seal. A card that is sealed already is refused: a
released card never changes.
"""

import hashlib
import re
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np

from simreal.core.benchmark_cards import ObservedList, observed_list_text, read_benchmark
from simreal.data.ingest import card_for, fingerprint, in_track
from simreal.encode.shipped import encoder_folder, load_variant
from simreal.pipeline.board import reads_on_reference
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.encoding import model_card, without_seen
from simreal.pipeline.plan import variants_of
from simreal.pipeline.stages import hash_stage, read_into, stored


def observed_objects(content: dict) -> ObservedList:
    """Return what the encoder of the draft was not trained on."""
    card = in_track(card_for(content["observed"]["collection"], role="observed"), content["track"])
    seed, cache = content["seed"], StageCache(cache_folder())
    key = stage_key("read", code=("data",), source=fingerprint(card, seed=seed))
    images = stored(cache.fetch("read", key, read_into(card, seed=seed)) / "images.h5")
    hashes = np.array(hash_stage(cache, images, key)["hashes"], dtype=np.str_)
    model = model_card(content["encoder"]["name"])
    if model is None:
        sys.exit("freeze: the encoder has no model card; ship one made by 'simreal train'")
    left = without_seen(images, hashes, model)
    rows = np.isin(images.ids, left.ids)
    return ObservedList(ids=left.ids, groups=left.groups, pixel_hashes=hashes[rows])


def main() -> None:
    path = Path(sys.argv[1])
    text = path.read_text(encoding="utf-8")
    content = tomllib.loads(text)
    if content.get("seal"):
        sys.exit(f"freeze: {path} is sealed; a released card never changes, make a new version")
    objects = observed_objects(content)
    listed = observed_list_text(objects)
    beside = path.with_name(content["observed"]["list"])
    beside.write_text(listed, encoding="utf-8")
    text = set_value(text, "sha256", hashlib.sha256(listed.encode()).hexdigest())
    text = re.sub(r"(?m)^(\[observed\](?:\n.+)*?\nn = ).*$", rf"\g<1>{len(objects)}", text)
    folder = encoder_folder(content["encoder"]["name"])
    for variant in variants_of(content["track"]):
        text = set_value(text, variant, load_variant(folder / variant).digest)
    for metric in content["metrics"]:
        pin = f"{reads_on_reference(metric):.8g}"
        text = re.sub(rf"(?m)^({metric} = {{ reads = )[^}}]*( }})$", rf"\g<1>{pin}\g<2>", text)
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / path.name
        draft.write_text(text, encoding="utf-8")
        seal = read_benchmark(draft).digest
    head, brace, rest = text.partition("\n[")
    path.write_text(f'{head.rstrip()}\nseal = "{seal}"\n{brace}{rest}', encoding="utf-8")
    print(f"{path}: {len(objects)} observed objects in {beside.name}, sealed as {seal[:12]}")


def set_value(text: str, key: str, value: str) -> str:
    return re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', text)


if __name__ == "__main__":
    main()
