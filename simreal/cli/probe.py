"""``simreal probe``: what an embedding holds."""

from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown

#: Objects and clusters shown on the terminal; all of them are in the JSON.
_SHOWN = 10


@click.command(name="probe")
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--label", help="Property to predict.")
@click.option("--table", help="CSV file with the label, where the run does not have it.")
@click.option("--join", metavar="COLUMN", help="Column of the table with the ids.")
@click.option("--mapping", help="CSV file that maps asset_id, the ids, to objid, as Galaxy Zoo 2.")
@click.option("--least-votes", type=int, help="Fewer make a vote fraction missing; default 20.")
@click.option("--kind", help="class or number; default by what the property holds.")
@click.option("--log", is_flag=True, help="Predict the decimal logarithm of the property.")
@click.option("--side", help="sim or obs; default both, or those that have the label.")
@click.option("--variant", help="Variant of the run; default the leading one.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    help="linear, knn, label-counts, few-shot, search or clusters; repeat; default all.",
)
@click.option("--like", multiple=True, metavar="ID", help="Example to search with; repeat.")
@click.option("--wanted", help="Class a search should find; default that of the examples.")
@click.option("--first", type=int, help="How many of the found are looked at; default 25.")
@click.option("--rank-by", help="direction (default) or distance.")
@click.option("--neighbours", type=int, help="Of the nearest-neighbour probe; default 10.")
@click.option("--labels", "counts", type=int, multiple=True, help="Number of labels; repeat.")
@click.option("--draws", type=int, help="Random sets of labels at each number; default 20.")
@click.option("--clusters", "k", type=int, multiple=True, help="Of k-means; repeat; default 8.")
@click.option("--components", "n_components", type=int, help="Clustered components; default 8.")
@click.option("--min-cluster-size", type=int, help="Of HDBSCAN; default a fiftieth of all.")
@click.option("--density-neighbours", type=int, help="Of HDBSCAN; default 5, more call more noise.")
@click.option("--permutations", "n_permutations", type=int, help="Shuffles; default 999.")
@click.option("--seed", type=click.IntRange(min=0), help="Root seed; default 0.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(path: Path, out: Path | None, as_json: bool, **options: Any) -> int:
    """Ask what the embeddings of RUN hold: a run folder, or one embedding (.h5).

    Linear and nearest-neighbour probes of a property on objects not seen, how many labels they
    need, search by example, and clusters held against the label.
    """
    from simreal.explain.clustering import ClusterSettings
    from simreal.pipeline.probe import ProbeSettings, probe_json, run_probe
    from simreal.report.tables import write_text

    given = {name: value for name, value in options.items() if _is_given(value)}
    names = ("k", "n_components", "min_cluster_size", "density_neighbours", "n_permutations")
    clusters = ClusterSettings(**{name: given.pop(name) for name in names if name in given})
    settings = ProbeSettings(**given, clusters=clusters)
    with progress_shown(quiet=as_json) as progress:
        document = run_probe(path, settings, progress=progress)
    text = probe_json(document)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(text, out)
    texts = [_text(side, document["joined"]) for side in document["sides"]]
    click.echo(text if as_json else "\n\n".join(texts))
    unlabelled = [side["label"] and side["label"]["reason"] for side in document["sides"]]
    return 5 if unlabelled and all(unlabelled) else 0


def _is_given(value: Any) -> bool:
    # 0 is given; it equals False.
    return value is not None and value is not False and value != ()


def _text(side: dict[str, Any], joined: dict[str, Any] | None = None) -> str:
    counted = f"{side['n_images']} images of {side['n_groups']} objects"
    lines = [f"{side['name']} ({side['side']}): {counted}, {side['dimension']} dimensions"]
    label = side["label"]
    if joined is not None:
        lines.append(_found(joined[side["side"]]))
    if label is not None:
        lines += _label(label)
    for key, said in (("linear", _probe), ("knn", _probe)):
        if label is not None and key in side:
            lines += said(side[key])
    for key, name in (("label_counts", "linear"), ("few_shot", "nearest mean")):
        if label is not None and key in side:
            lines += _counts(side[key], name)
    if "search" in side:
        lines += _search(side["search"])
    if "clusters" in side:
        lines += _clusters(side["clusters"])
    return "\n".join(lines)


def _found(row: dict[str, Any]) -> str:
    said = f"table       {row['n_found']} of {row['n_objects']} objects are in {row['table']}"
    few = row["n_too_few_votes"]
    return f"{said}; {few} have too few votes" if few else said


def _label(label: dict[str, Any]) -> list[str]:
    if label["reason"] is not None:
        return [f"label       {label['name']}: not computable: {label['reason']}"]
    classes = ", ".join(f"{name} {n}" for name, n in label["classes"].items())
    what = classes or f"a number{' in ' + label['unit'] if label['unit'] else ''}"
    lines = [f"label       {label['name']}: {what}; {label['n_labelled']} objects labelled"]
    if label["left_out"]:
        rare = ", ".join(f"{name} {n}" for name, n in label["left_out"].items())
        lines.append(f"left out    too few objects: {rare}")
    return lines


def _probe(found: dict[str, Any]) -> list[str]:
    if "reason" in found:
        return []
    scores = "; ".join(f"{name} {_score(score)}" for name, score in found["scores"].items())
    return [f"{found['method']:12}{scores}; baseline {found['baseline']:.3f}"]


def _counts(found: Any, name: str) -> list[str]:
    if isinstance(found, dict):
        return []
    lines = [f"{name}, by number of labels:"]
    for row in found:
        spread = ""
        if row["draw_low"] is not None:
            spread = f"; one set of labels {row['draw_low']:.3f} to {row['draw_high']:.3f}"
        what = " (all)" if row["is_all"] else ""
        lines.append(f"  {row['n_labels']:6d}{what:6} {_score(row['score'])}{spread}")
    return lines


def _search(found: dict[str, Any]) -> list[str]:
    if "reason" in found:
        return [f"search      {found['reason']}"]
    lines = []
    for each in found.get("classes", []):
        row = each["handfuls"]
        lines.append(
            f"search      {row['n_examples']} examples of {row['wanted']}: precision at {row['k']} "
            f"{row['mean']:.3f} over {row['n_handfuls']} handfuls, one handful "
            f"{row['draw_low']:.3f} to {row['draw_high']:.3f}"
        )
        lines.append(f"            such as {_precision(each['precision'])}")
    precision = found.get("precision")
    if precision is not None:
        lines.append(f"search      {_precision(precision)}")
    rows = found.get("found", [])
    if rows:
        lines.append("found       " + ", ".join(row["id"] for row in rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            lines.append(f"            ... and {len(rows) - _SHOWN} more (--json prints all)")
    return lines


def _precision(row: dict[str, Any]) -> str:
    if "reason" in row:
        return f"precision: {row['reason']}"
    right = f"{row['n_right']} of the first {row['k']} are {row['wanted']}"
    return f"{right}: {_score(row['score'])}; chance {row['baseline']:.3f}"


def _clusters(found: dict[str, Any]) -> list[str]:
    if "reason" in found:
        return [f"clusters    {found['reason']}"]
    held = f"{found['n_components']} components with {100 * found['explained']:.0f} %"
    lines = [f"clusters    {found['n']} objects, {held} of the variance"]
    for row in found["partitions"]:
        sizes = ", ".join(map(str, row["sizes"])) or "none"
        lines.append(f"  {row['method']}: sizes {sizes}; noise {_score(row['noise_fraction'])}")
        lines += [f"    {name:22} {_score(score)}" for name, score in row["scores"].items()]
        if row["label"] is not None:
            lines += _agreement(row["label"])
    return lines


def _agreement(label: dict[str, Any]) -> list[str]:
    if label["reason"] is not None:
        return [f"    label: {label['reason']}"]
    lines = [
        f"    {name:22} {_score(label['intervals'][name])}; shuffled labels up to "
        f"{found['null_high']:.3f}, p {found['p_value']:.3g}"
        for name, found in label["agreement"].items()
    ]
    for row in label["per_cluster"]:
        name = "noise" if row["cluster"] < 0 else f"cluster {row['cluster']}"
        p = "" if row["p_adjusted"] is None else f"; adjusted p {row['p_adjusted']:.3g}"
        lines.append(f"    {name}: {row['label']} {_score(row['score'])}{p}")
    return lines


def _score(score: dict[str, Any]) -> str:
    if score["value"] is None:
        return f"- ({score['reason']})"
    return f"{score['value']:.3g} ({score['low']:.3g} to {score['high']:.3g}, n = {score['n']})"
