"""The page a human reads before using a frozen encoder, made of its model card."""

from collections.abc import Mapping
from typing import Any


def model_page(card: Mapping[str, Any]) -> str:
    """Return the text of ``MODEL_CARD.md``."""
    return (
        "\n\n".join(
            [
                f"# {card['name']}",
                f"A frozen `{card['encoder']}` encoder for the {card['track']} track, trained with",
                f"```bash\n{card['command']}\n```",
                "## Trained on",
                *_trained_on(card),
                "## May score",
                *_may_score(card),
                "## What it knows",
                *_known(card["probes"]),
                "## What it does not",
                _limits(card),
                "## Cite",
                "\n".join(f"* {text}" for text in card["data"]["citation"]),
                _versions(card["versions"]),
            ]
        )
        + "\n"
    )


def _trained_on(card: Mapping[str, Any]) -> list[str]:
    data, part = card["data"], card["training"]
    said = (
        f"{data['title']} (`{data['name']}`, {data['sampling']} sample): {part['n_images']} of "
        f"{data['n_images']} images, {part['n_groups']} of {data['n_groups']} groups, split by "
        f"group with seed {card['split']['seed']}; {part['n_matched']} of them fill the frame. No "
        "image is kept here, only the hashes of their pixels, by which `simreal compare` leaves "
        "them out of what it scores."
    )
    digest = f"Digest of the collection: `{data['digest']}`."
    return [said, f"{digest} Licence of the images: {data['licence']}."]


def _may_score(card: Mapping[str, Any]) -> list[str]:
    matching = card["matching"]
    table = [
        "| variant | bands, size | dimension | loss, first to last epoch | effective rank |",
        "|---|---|---|---|---|",
        *(_row(name, variant) for name, variant in card["variants"].items()),
    ]
    said = (
        f"Everything else: {card['held_out']['n_images']} images of the same collection are held "
        f"out and listed in `card.json`. `simreal compare --encoder-from {card['name']}` makes the "
        f"stamps it knows: {matching['stamp']} pixels, frame {matching['frame']}, "
        f"{matching['frame_width']:g} wide [{matching['frame_unit']}]."
    )
    return [said, "\n".join(table)]


def _row(name: str, variant: Mapping[str, Any]) -> str:
    loss, rank = variant.get("loss"), variant.get("effective_rank")
    fell = "–" if not loss else f"{loss[0]:.3f} to {loss[-1]:.3f} ({len(loss)} epochs)"
    shape = " × ".join(map(str, variant["shape"]))
    spread = "–" if rank is None else f"{rank:.1f}"
    return f"| {name} | {shape} | {variant['dimension']} | {fell} | {spread} |"


def _known(probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of the probes on the held-out part."""
    rows = []
    for variant, labels in probes.items():
        for label, found in labels.items():
            for probe in ("linear", "knn"):
                for name, score in found[probe].get("scores", {}).items():
                    if name in ("accuracy", "r2"):
                        said = f"{_score(score)} | {found[probe]['baseline']:.3f}"
                        rows.append(f"| {variant} | {label} | {probe}, {name} | {said} |")
    if not rows:
        return ["The held-out images have no label to probe."]
    table = [
        "| variant | label | probe | value (95 % interval, n) | always naming the most frequent |",
        "|---|---|---|---|---|",
        *rows,
    ]
    return ["Held-out images only, five folds by group (`simreal probe`):", "\n".join(table)]


def _score(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"– ({score['reason']})"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f}, {score['n']})"


def _limits(card: Mapping[str, Any]) -> str:
    return (
        f"It has seen {card['data']['name']} and nothing else: other filters, depths or kinds of "
        "object are outside of what it learned. If it is contrastive, it is trained to overlook "
        "what its augmentation does (turns, mirrors, small zooms and shifts, some blur, noise and "
        "contrast), so a difference in these is measured poorly. Another picture of a galaxy it "
        "was trained on is not recognised, unless the collection lists both in one group."
    )


def _versions(found: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {found[name]}" for name in ("simreal", "torch", "python"))
    return f"Made with {said}."
