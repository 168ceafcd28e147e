"""PCQM4Mv2's files, and molecules as OGB's features have them."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mm_meta_transformer.datasets.graph_preparation import GraphError, PrepareGraph
from mm_meta_transformer.datasets.molecules import MoleculeFromSMILES, molecule_graph
from mm_meta_transformer.datasets.pcqm4mv2 import PCQM4Mv2Dataset

GAPS = (3.5, 4.25, 5.0, float("nan"))


@pytest.fixture
def root(tmp_path):
    """The files as published, of four molecules; the last one is of a test part."""
    (tmp_path / "raw").mkdir()
    table = pd.DataFrame({"idx": range(4), "smiles": ["C", "CC", "CO", "N"], "homolumogap": GAPS})
    table.to_csv(tmp_path / "raw" / "data.csv.gz", index=False)
    split = {"train": [0, 2], "valid": [1], "test-dev": [3], "test-challenge": []}
    torch.save({part: np.array(rows, np.int64) for part, rows in split.items()}, tmp_path / "split_dict.pt")
    return tmp_path


def dataset(root, part):
    return PCQM4Mv2Dataset(str(root), part=part, serialize_data=False)


def test_the_parts_are_those_of_the_split(root):
    data = dataset(root, "train")
    found = [data.get_data_info(number) for number in range(2)]
    assert [(one["smiles"], float(one["gt_value"])) for one in found] == [("C", 3.5), ("CO", 5.0)]
    assert found[1]["path"] == "data.csv.gz, molecule 2"
    assert len(dataset(root, "valid")) == 1
    assert np.isnan(dataset(root, "test-dev").get_data_info(0)["gt_value"])


def test_what_is_missing_is_named(root):
    with pytest.raises(ValueError, match=r"part='val' is not known. Fix: one of train, valid"):
        dataset(root, "val")
    table = pd.read_csv(root / "raw" / "data.csv.gz")
    table.assign(homolumogap=float("nan")).to_csv(root / "raw" / "data.csv.gz", index=False)
    with pytest.raises(ValueError, match=r"data.csv.gz, molecule 0 has no gap"):
        dataset(root, "train")
    table.drop(columns="homolumogap").to_csv(root / "raw" / "data.csv.gz", index=False)
    with pytest.raises(ValueError, match="has no column homolumogap; it has idx, smiles"):
        dataset(root, "train")
    (root / "split_dict.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"split_dict.pt: no such file. Fix: data_root"):
        dataset(root, "train")


def answering(**answers):
    return SimpleNamespace(**{name: lambda answer=answer: answer for name, answer in answers.items()})


def atom(**changed):
    carbon = dict(
        GetAtomicNum=6,
        GetChiralTag="CHI_UNSPECIFIED",
        GetTotalDegree=4,
        GetFormalCharge=0,
        GetTotalNumHs=3,
        GetNumRadicalElectrons=0,
        GetHybridization="SP3",
        GetIsAromatic=False,
        IsInRing=False,
    )
    return answering(**carbon | changed)


def bond(**changed):
    single = dict(
        GetBeginAtomIdx=0, GetEndAtomIdx=1, GetBondType="SINGLE", GetStereo="STEREONONE", GetIsConjugated=False
    )
    return answering(**single | changed)


def test_atoms_and_bonds_get_the_benchmarks_numbers():
    strange = atom(GetAtomicNum=0, GetChiralTag="CHI_ALLENE", GetFormalCharge=7, GetHybridization="S", IsInRing=True)
    found = molecule_graph(answering(GetAtoms=[atom(), strange], GetBonds=[bond(GetBondType="AROMATIC")]))
    assert found["node_features"].tolist() == [[5, 0, 4, 5, 3, 0, 2, 0, 0], [118, 4, 4, 11, 3, 0, 5, 0, 1]]
    assert found["edge_index"].tolist() == [[0, 1], [1, 0]]
    assert found["edge_features"].tolist() == [[3, 0, 0], [3, 0, 0]]
    alone = molecule_graph(answering(GetAtoms=[atom()], GetBonds=[]))
    assert PrepareGraph(4)(alone)["edge_data"].shape == (0, 3)


def test_without_rdkit_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match="Fix: pip install rdkit"):
        MoleculeFromSMILES()


def test_rdkits_molecules_get_the_numbers_that_the_benchmark_documents():
    pytest.importorskip("rdkit", reason="RDKit is no dependency: this data set alone needs it")
    found = MoleculeFromSMILES()({"smiles": "Cl[C@H](/C=C/C)Br"})
    assert found["node_features"][1].tolist() == [5, 2, 4, 5, 1, 0, 2, 0, 0]
    assert found["edge_features"][4].tolist() == found["edge_features"][5].tolist() == [1, 2, 0]
    assert found["edge_index"][:, 4:6].tolist() == [[2, 3], [3, 2]]
    with pytest.raises(GraphError, match=r"molecule 3: RDKit does not understand 'xx\('"):
        MoleculeFromSMILES()({"smiles": "xx(", "path": "molecule 3"})
