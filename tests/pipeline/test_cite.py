"""Whom to cite: every collection, metric and method once, and BibTeX that holds together."""

import json
import re

import pytest

from simreal.core.cards import catalogue_names, load_card
from simreal.core.errors import StorageError
from simreal.pipeline.citations import Reference, bibtex, gathered, open_licence
from simreal.pipeline.cite import as_text, credits_of


def results(sim="eagle", obs="sdss", **settings):
    def side(name):
        credit = load_card(name).credit
        return {
            "name": name, "title": load_card(name).title, "citation": list(credit.citation),
            "licence": credit.licence, "acknowledgement": credit.acknowledgement,
        }  # fmt: skip

    asked = {
        "sim": sim, "obs": obs, "bridges": [], "metrics": ["mmd"], "encoder": "simclr",
        "check_encoders": ["morphology"], **settings,
    }  # fmt: skip
    return {
        "sim": side(sim), "obs": side(obs),
        "provenance": {"settings": asked, "versions": {"simreal": "1", "numpy": "2"}},
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results(bridges=["hsc-rgb", "gone"])))
    return tmp_path


def test_everything_used_is_cited_once_with_what_for(run):
    owed = credits_of(run)
    uses = {one.text: one.used_for for one in owed.references}
    assert len(uses) == len(owed.references)
    assert uses["Schaye et al. 2015, MNRAS 446, 521"] == ("eagle",)
    assert uses["Gretton et al. 2012, JMLR 13, 723"] == ("metric mmd",)
    assert uses["Chen et al. 2020, arXiv:2002.05709"] == ("encoder simclr",)
    assert uses["Harris et al. 2020, Nature 585, 357"] == ("numpy",)
    assert any("hsc-rgb" in used for used in uses.values())
    assert not any("scipy" in used for used in uses.values())
    assert any("gone" in note for note in owed.notes)


def test_acknowledgements_are_given_and_licences_flagged(run):
    text = as_text(credits_of(run))
    assert "Virgo Consortium" in text
    eagle = next(line for line in text.splitlines() if "EAGLE" in line and "licence" in line)
    assert "(!)" in eagle
    assert open_licence(load_card("toy-sim").credit.licence)


def test_a_board_owes_what_its_runs_owe(tmp_path):
    for sim in ("eagle", "illustris"):
        place = tmp_path / "runs" / sim
        place.mkdir(parents=True)
        (place / "results.json").write_text(json.dumps(results(sim)))
    titles = {one["collection"] for one in credits_of(tmp_path).collections}
    assert titles == {"eagle", "illustris", "sdss"}


def test_bibtex_has_unique_keys_and_balanced_braces():
    every = gathered(
        (text, name) for name in catalogue_names() for text in load_card(name).credit.citation
    )
    text = bibtex(every)
    keys = re.findall(r"^@\w+\{([^,]+),$", text, flags=re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(every)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", key) for key in keys)
    assert text.count("{") == text.count("}")
    assert "Camps and Baes" in text
    # Every citation of a card that names journal, volume and page is an article.
    articles = sum(one.startswith("@article") for one in text.split("\n\n"))
    assert articles >= 0.8 * len(every)


def test_one_key_for_two_papers_gets_letters_and_signs_are_escaped():
    pair = [
        Reference(text="Li et al. 2020, A&A 1, 2", used_for=("a",)),
        Reference(text="Li et al. 2020, A&A 1, 99", used_for=("b_c",)),
    ]
    text = bibtex(pair)
    assert "@article{Li2020AA1," in text
    assert "@article{Li2020AA1b," in text
    assert r"A\&A" in text
    assert r"b\_c" in text


def test_what_is_no_article_keeps_its_words():
    text = bibtex([Reference(text="a private table {of} 3 %", used_for=("mine",))])
    assert text.startswith("@misc{")
    assert r"a private table (of) 3 \%" in text


def test_a_folder_without_results_gets_one_line(tmp_path):
    with pytest.raises(StorageError, match="name the folder of a finished run"):
        credits_of(tmp_path)
