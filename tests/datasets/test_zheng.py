from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

from scsalient import datasets
from scsalient.datasets import _zheng

N_GENES = 7
PRE = "aml027_pre_transplant"
N_CELLS = {name: 3 + i for i, name in enumerate(_zheng._N_CELLS)}
FOLDER = "filtered_matrices_mex/hg19"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(_zheng, "_N_GENES", N_GENES)
    monkeypatch.setattr(_zheng, "_N_CELLS", N_CELLS)


def make_counts(name):
    rng = np.random.default_rng(len(name) + N_CELLS[name])
    return rng.poisson(1.0, (N_CELLS[name], N_GENES))


def make_files(name, counts=None):
    counts = make_counts(name) if counts is None else counts
    matrix = io.BytesIO()
    mmwrite(matrix, sparse.coo_matrix(counts.T), field="integer" if counts.dtype == int else "real")
    genes = "".join(f"ENSG{i:011d}\tGENE{i // 2}\n" for i in range(counts.shape[1]))
    barcodes = "".join(f"{'ACGT'[i % 4]}{i:013d}-1\n" for i in range(counts.shape[0]))
    return {
        "matrix.mtx": matrix.getvalue(),
        "genes.tsv": genes.encode(),
        "barcodes.tsv": barcodes.encode(),
    }


def archive_of(name):
    return f"{name}_filtered_gene_bc_matrices.tar.gz"


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{FOLDER}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_folder(path, files):
    path.mkdir(parents=True)
    for file, content in files.items():
        (path / file).write_bytes(content)


@pytest.fixture
def root(tmp_path):
    for name in N_CELLS:
        write_archive(tmp_path / archive_of(name), make_files(name))
    return tmp_path


@pytest.mark.parametrize("patient", ["aml027", "aml035"])
def test_patient_against_healthy_donors(root, patient):
    adata = datasets.zheng_2017(patient=patient, root=root)
    samples = [f"{patient}_pre_transplant", f"{patient}_post_transplant",
               "frozen_bmmc_healthy_donor1", "frozen_bmmc_healthy_donor2"]  # fmt: skip
    assert adata.obs["sample"].value_counts().to_dict() == {s: N_CELLS[s] for s in samples}
    roles = {
        samples[0]: ("patient", "pre-transplant"),
        samples[1]: ("patient", "post-transplant"),
        samples[2]: ("healthy", "healthy"),
        samples[3]: ("healthy", "healthy"),
    }
    for sample, (condition, stage) in roles.items():
        part = adata[adata.obs["sample"] == sample]
        assert set(part.obs["condition"]) == {condition}
        assert set(part.obs["stage"]) == {stage}
        np.testing.assert_array_equal(part.X.toarray(), make_counts(sample))
    assert adata.X.format == "csr"
    assert adata.obs_names.is_unique
    assert adata.obs["barcode"].iloc[0] == "A0000000000000-1"
    assert adata.var_names[1] == "ENSG00000000001"
    assert adata.var["gene_symbols"].tolist() == [f"GENE{i // 2}" for i in range(N_GENES)]


@pytest.mark.parametrize("folder", ["{name}", f"{{name}}/{FOLDER}", f"{{name}}_filtered/{FOLDER}"])
def test_unpacked_archives_give_the_same(root, tmp_path, folder):
    other = tmp_path / "other"
    for name in N_CELLS:
        write_folder(other / folder.format(name=name), make_files(name))
    one, two = datasets.zheng_2017(root=root), datasets.zheng_2017(root=other)
    assert (one.X != two.X).nnz == 0
    assert one.obs.equals(two.obs)


def test_downloads_into_the_cache(root, tmp_path, monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path, progressbar):
        asked.append(url)
        assert path == tmp_path / "cache"
        return str(root / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    adata = datasets.zheng_2017(cache_dir=tmp_path / "cache")
    assert (adata.X != datasets.zheng_2017(root=root).X).nnz == 0
    assert asked == [
        f"https://cf.10xgenomics.com/samples/cell-exp/1.1.0/{name}/{archive_of(name)}"
        for name in (
            "aml027_pre_transplant", "aml027_post_transplant", "frozen_bmmc_healthy_donor1",
            "frozen_bmmc_healthy_donor2",
        )
    ]  # fmt: skip


def test_failed_download(tmp_path, monkeypatch):
    def retrieve(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(ConnectionError, match="10x Genomics failed.*pass `root=`"):
        datasets.zheng_2017(cache_dir=tmp_path)


def cut(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("spoil", [cut, lambda content: b"<html>sorry</html>"])
def test_cut_archives(root, monkeypatch, spoil):
    file = root / archive_of("aml027_post_transplant")
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=r"aml027_post.*complete \.tar\.gz archive"):
        datasets.zheng_2017(root=root)
    assert file.exists()
    # From the cache it is removed, so that another try fetches it again.
    monkeypatch.setattr("pooch.retrieve", lambda url, fname, **kwargs: str(root / fname))
    with pytest.raises(ValueError, match="removed from the cache"):
        datasets.zheng_2017()
    assert not file.exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (make_files(PRE, np.ones((2, N_GENES), int)), "3 cells and 7 genes, found 2 and 7"),
        (make_files(PRE, np.ones((3, 5), int)), "3 cells and 7 genes, found 3 and 5"),
        (make_files(PRE, np.full((3, N_GENES), 0.5)), "should hold raw counts"),
        ({"matrix.mtx": b"", "genes.tsv": b""}, r"found no \['barcodes.tsv'\]"),
        (make_files(PRE) | {"matrix.mtx": b"text"}, "of one sample"),
        (make_files(PRE) | {"barcodes.tsv": b"AAA-1\n"}, "of one sample"),
    ],
)
def test_checks_what_is_in_an_archive(root, files, message):
    write_archive(root / archive_of(PRE), files)
    with pytest.raises(ValueError, match=message):
        datasets.zheng_2017(root=root)


def test_bad_arguments(root):
    with pytest.raises(ValueError, match=r"`patient` should be one of \['aml027', 'aml035'\]"):
        datasets.zheng_2017(patient="aml")
    with pytest.raises(FileNotFoundError, match="`root` should name a folder"):
        datasets.zheng_2017(root=root / "nowhere")
    (root / archive_of("frozen_bmmc_healthy_donor2")).unlink()
    with pytest.raises(FileNotFoundError, match="or a folder frozen_bmmc_healthy_donor2"):
        datasets.zheng_2017(root=root)


def test_samples_with_other_genes(root):
    files = make_files(PRE)
    files["genes.tsv"] = files["genes.tsv"].replace(b"ENSG00000000003", b"ENSG99999999999")
    write_archive(root / archive_of(PRE), files)
    with pytest.raises(ValueError, match="should have the same genes"):
        datasets.zheng_2017(root=root)


def test_folders_without_a_file(root):
    (root / archive_of(PRE)).unlink()
    write_folder(root / PRE, {k: v for k, v in make_files(PRE).items() if k != "genes.tsv"})
    with pytest.raises(ValueError, match=r"found no \['genes.tsv'\]"):
        datasets.zheng_2017(root=root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda genes: b"".join(line.split(b"\t")[0] + b"\n" for line in genes.splitlines()),
            "one",
        ),
        (lambda genes: genes.replace(b"ENSG00000000003", b"ENSG00000000002"), "come twice"),
    ],
)
def test_tables_of_genes_are_checked(root, change, message):
    files = make_files(PRE)
    files["genes.tsv"] = change(files["genes.tsv"])
    write_archive(root / archive_of(PRE), files)
    with pytest.raises(ValueError, match=f"{archive_of(PRE)}' should .*{message}"):
        datasets.zheng_2017(root=root)
