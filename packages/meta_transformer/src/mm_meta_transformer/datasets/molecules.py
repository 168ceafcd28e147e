"""A molecule as a graph, with the nine atom and three bond features of the Open Graph Benchmark (arXiv 2005.00687)."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.datasets.graph_preparation import GraphError

CHIRALITY = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER")
HYBRIDISATION = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
STEREO = ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")


@TRANSFORMS.register_module()
class MoleculeFromSMILES(BaseTransform):
    """Make ``node_features``, ``edge_index`` and ``edge_features`` of ``smiles``, as OGB's ``smiles2graph`` does.

    Raises:
        ImportError: RDKit is not installed.
        GraphError: RDKit does not understand the text.
    """

    def __init__(self) -> None:
        try:
            from rdkit import Chem
        except ImportError as error:
            raise ImportError("molecules are read by RDKit, which is not installed. Fix: pip install rdkit") from error
        self.read = Chem.MolFromSmiles

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the results with the three entries."""
        molecule = self.read(results["smiles"])
        if molecule is None:
            raise GraphError(
                f"{results.get('path', 'a molecule')}: RDKit does not understand {results['smiles']!r}. "
                "Fix: leave it out"
            )
        return results | molecule_graph(molecule)


def molecule_graph(molecule: Any) -> dict[str, np.ndarray]:
    """Return ``node_features`` ``(N, 9)``, ``edge_index`` ``(2, E)`` and ``edge_features`` ``(E, 3)``.

    Args:
        molecule: RDKit's. Each bond is two edges, one after the other.
    """
    atoms = [
        (
            _within(atom.GetAtomicNum() - 1, 118),
            _place(CHIRALITY, atom.GetChiralTag()),
            _within(atom.GetTotalDegree(), 11),
            _within(atom.GetFormalCharge() + 5, 11),
            _within(atom.GetTotalNumHs(), 9),
            _within(atom.GetNumRadicalElectrons(), 5),
            _place(HYBRIDISATION, atom.GetHybridization()),
            int(atom.GetIsAromatic()),
            int(atom.IsInRing()),
        )
        for atom in molecule.GetAtoms()
    ]
    ends, features = [], []
    for bond in molecule.GetBonds():
        first, second = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends += [(first, second), (second, first)]
        kind = (_place(BONDS, bond.GetBondType()), _place(STEREO, bond.GetStereo()), int(bond.GetIsConjugated()))
        features += [kind, kind]
    return {
        "node_features": np.array(atoms, np.int64).reshape(-1, 9),
        "edge_index": np.array(ends, np.int64).reshape(-1, 2).T,
        "edge_features": np.array(features, np.int64).reshape(-1, 3),
    }


def _within(value: int, count: int) -> int:
    """Return a value from 0 on; any that is not below ``count`` is "something else", which is ``count`` itself."""
    return value if 0 <= value < count else count


def _place(names: tuple[str, ...], value: Any) -> int:
    """Return the place of a value's name; one that is not among them comes after the last."""
    return names.index(str(value)) if str(value) in names else len(names)
