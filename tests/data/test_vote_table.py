"""Labels joined from a table: ids as text, the layout of Galaxy Zoo 2, and what is refused."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.vote_table import NoObjectError, joined_label, with_label

SPIRAL = "t04_spiral_a08_spiral"
HEADER = (
    "dr7objid,ra,dec,gz2_class,total_classifications,total_votes,"
    "t01_smooth_or_features_a01_smooth_count,t01_smooth_or_features_a01_smooth_fraction,"
    f"{SPIRAL}_count,{SPIRAL}_weight,{SPIRAL}_fraction,{SPIRAL}_weighted_fraction,"
    f"{SPIRAL}_debiased,{SPIRAL}_flag,t04_spiral_a09_no_spiral_count,"
    "t04_spiral_a09_no_spiral_debiased\n"
)
#: Neighbouring 64-bit ids: a double cannot tell the second from the third.
IDS = ("587722981742084144", "588017703996096547", "588017703996096548", "587735743153438782")


def votes(spiral, other, debiased):
    return f"Sb,40,200,5,.1,{spiral},{spiral},.5,.5,{debiased},0,{other},{1 - debiased}"


@pytest.fixture
def gz2(tmp_path):
    """The layout of gz2_hart16.csv and gz2_filename_mapping.csv."""
    table, mapping = tmp_path / "gz2_hart16.csv", tmp_path / "gz2_filename_mapping.csv"
    rows = [votes(18, 12, 0.6), votes(15, 4, 0.9), votes(15, 5, 0.7)]
    text = [f"{name},160.9,-1.1,{row}" for name, row in zip(IDS, rows, strict=False)]
    table.write_text(HEADER + "\n".join(text) + "\n")
    pairs = [f"{name},original,{n}" for n, name in enumerate(IDS, start=100)]
    mapping.write_text("objid,sample,asset_id\n" + "\n".join(pairs) + "\n")
    return table, mapping


def label(path, name, ids, **options):
    return joined_label(path, name, np.array(ids), **{"join": "dr7objid"} | options)


def numbers(found):
    return property_values(with_label(None, found), found.name)


class TestGalaxyZoo:
    def test_fractions_through_the_mapping_in_the_order_of_the_objects(self, gz2):
        table, mapping = gz2
        ids = ["102", "100", "103", "999"]
        found = label(table, f"{SPIRAL}_debiased", ids, mapping=mapping)
        values, known, _ = numbers(found)
        # 103 is mapped to a galaxy without votes, 999 to none at all.
        assert known.tolist() == [True, True, False, False]
        assert values[:2].tolist() == [0.7, 0.6]
        assert (found.n_found, found.n_too_few_votes) == (2, 0)

    def test_neighbouring_ids_stay_apart(self, gz2):
        values, known, _ = numbers(label(gz2[0], f"{SPIRAL}_debiased", IDS[1:3], least_votes=0))
        assert known.all()
        assert values.tolist() == [0.9, 0.7]

    @pytest.mark.parametrize(("least", "known"), [(19, [1, 1]), (20, [0, 1]), (21, [0, 0])])
    def test_a_fraction_of_too_few_votes_is_missing(self, gz2, least, known):
        # 15 + 4 = 19 and 15 + 5 = 20 came to the question.
        found = label(gz2[0], f"{SPIRAL}_debiased", IDS[1:3], least_votes=least)
        given = numbers(found)
        assert ([0, 0] if given is None else given[1].tolist()) == known
        assert found.n_too_few_votes == 2 - sum(known)

    def test_counts_and_other_columns_are_left_as_they_are(self, gz2):
        assert numbers(label(gz2[0], f"{SPIRAL}_count", IDS[1:2]))[0].tolist() == [15.0]
        text = label(gz2[0], "gz2_class", IDS)
        assert text.values.tolist()[:3] == ["Sb"] * 3
        assert text.values.mask.tolist() == [False] * 3 + [True]


class TestRefused:
    @pytest.mark.parametrize("rounded", ["5.87723E+17", "587722981742084096.0"])
    def test_ids_that_a_spreadsheet_has_rounded(self, tmp_path, rounded):
        path = tmp_path / "votes.csv"
        path.write_text(f"dr7objid,x\n{rounded},1\n")
        with pytest.raises(UsageError, match=r"line 2: dr7objid is .* rounded this id"):
            label(path, "x", IDS)

    def test_rows_that_differ(self, tmp_path):
        path = tmp_path / "votes.csv"
        path.write_text("dr7objid,x\n7,1\n7,1\n8,2\n8,3\n")
        with pytest.raises(UsageError, match="lines 4 and 5 have '2' and '3' as x of '8'"):
            label(path, "x", ["7"])

    def test_names_of_neither(self, gz2):
        with pytest.raises(NoObjectError, match=r"none of 2 objects .* such as 'a'"):
            label(gz2[0], "gz2_class", ["a", "b"])
        with pytest.raises(UsageError, match="no column 'gz2_clas': did you mean"):
            label(gz2[0], "gz2_clas", IDS)

    def test_a_mapping_that_contradicts_itself(self, gz2):
        gz2[1].write_text("objid,asset_id\n1,100\n2,100\n")
        with pytest.raises(UsageError, match="line 3: asset_id '100' is mapped to '1' and to '2'"):
            label(gz2[0], "gz2_class", ["100"], mapping=gz2[1])

    def test_a_label_that_the_run_has(self, gz2):
        one = label(gz2[0], "gz2_class", IDS)
        with pytest.raises(UsageError, match="has a property 'gz2_class' already"):
            with_label(with_label(None, one), one)
