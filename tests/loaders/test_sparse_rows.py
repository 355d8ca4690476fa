from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from factories import make_model
from scsalient.loaders import Rows, SparseRows
from scsalient.nn import Covariates, DenseEncoder


def _matrix(density=0.15, *, seed=0, n_rows=12, n_columns=30):
    rng = np.random.default_rng(seed)
    x = sparse.random(n_rows, n_columns, density=density, format="csr", dtype=np.float32, rng=rng)
    x.data = np.ceil(x.data * 5).astype(np.float32)
    return x


def _dense(rows):
    x = torch.zeros(len(rows.ends) - 1, rows.n_columns)
    x.view(-1)[rows.flat.long()] = rows.values
    return x


@given(density=st.floats(0.0, 1.0), seed=st.integers(0, 100))
def test_entries_are_those_of_the_matrix_and_of_its_transpose(density, seed):
    x = _matrix(density, seed=seed)
    dense = torch.from_numpy(x.toarray())
    for rows in (SparseRows.of_csr(x), SparseRows.of_dense(dense)):
        assert torch.equal(_dense(rows), dense)
        assert torch.equal(_dense(rows.transposed), dense.T)
        assert torch.equal(rows.dense(), dense)
        assert torch.equal(rows.dense_rows(torch.tensor([3, 3, 0])), dense[[3, 3, 0]])
        assert len(rows) == len(dense)
        torch.testing.assert_close(rows.sums(), dense.sum(1))
        assert torch.equal(_dense(rows.map(torch.log1p)), dense.log1p())
        assert rows.density == pytest.approx(x.nnz / dense.numel())


@pytest.mark.parametrize("n_categories", [(), (3,)])
@pytest.mark.parametrize("density", [0.0, 0.15, 1.0])
def test_an_encoder_and_its_gradients_do_not_depend_on_how_zeros_are_written(density, n_categories):
    torch.manual_seed(0)
    encoder = DenseEncoder(30, 2, n_categories=n_categories, n_hidden=8)
    x = _matrix(density)
    codes = tuple(torch.arange(12)[:, None] % n for n in n_categories)
    found = []
    for rows in (torch.from_numpy(x.toarray()), SparseRows.of_csr(x)):
        encoder.zero_grad()
        mean, variance = encoder(rows, Covariates(codes))
        (mean.square() + variance.log()).sum().backward()
        gradients = [p.grad.clone() for p in encoder.parameters()]
        found.append((mean, variance, *gradients))
    torch.testing.assert_close(found[0], found[1])


def test_an_encoder_starts_with_the_weights_of_one_layer_for_all_its_inputs():
    torch.manual_seed(0)
    encoder = DenseEncoder(30, 2, n_categories=(3,), n_hidden=8)
    torch.manual_seed(0)
    layer = torch.nn.Linear(33, 8)
    rest = encoder.hidden.fc_layers[0][0]
    assert torch.equal(torch.cat([encoder.input_weights.T, rest.weight], 1), layer.weight)
    assert torch.equal(rest.bias, layer.bias)
    x, codes = torch.randn(4, 30), torch.tensor([[0], [2], [1], [1]])
    one_hot = torch.nn.functional.one_hot(codes[:, 0], 3)
    expected = layer(torch.cat([x, one_hot], 1)).relu()
    found = encoder.hidden(x @ encoder.input_weights, codes)
    torch.testing.assert_close(found, expected)


def test_minibatches_are_sparse_where_few_entries_are_not_zero():
    positions, x = np.array([3, 0, 3]), _matrix(0.1)
    few = Rows(x, {}).tensors(positions)["X"]
    assert isinstance(few, SparseRows)
    np.testing.assert_array_equal(few.dense(), x[positions].toarray())
    for many in (_matrix(0.9), _matrix(0.1).toarray()):
        assert isinstance(Rows(many, {}).tensors(positions)["X"], torch.Tensor)


def test_entries_stored_twice_count_as_their_sum():
    x = sparse.csr_matrix((np.array([1.0, 2.0, 4.0], np.float32), [2, 2, 5], [0, 2, 3]), (2, 40))
    found = Rows(x, {}).tensors(np.array([0, 1]))["X"]
    assert isinstance(found, torch.Tensor)
    assert found[0, 2] == 3.0


def _minibatch(module, n_rows=8):
    n_vars = module.background_encoder.input_weights.shape[0]
    x = sparse.vstack([_matrix(0.1, n_rows=n_rows - 1, n_columns=n_vars), np.eye(1, n_vars)], "csr")
    tensors = Rows(x, _columns(n_rows)).tensors(np.arange(n_rows))
    assert isinstance(tensors["X"], SparseRows)
    return tensors


@pytest.mark.parametrize("n_hidden", [8, 16])
@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "nb", "zinb"])
def test_the_objective_does_not_depend_on_how_zeros_are_written(likelihood, n_hidden):
    module = make_model(likelihood=likelihood, n_hidden=n_hidden).module.train()
    tensors = _minibatch(module)
    found = []
    for batch in (tensors, tensors | {"X": tensors["X"].dense()}):
        torch.manual_seed(0)
        module.zero_grad()
        loss = module(batch)[2].loss
        loss.backward()
        gradients = {k: p.grad for k, p in module.named_parameters() if p.grad is not None}
        found.append({"loss": loss} | gradients)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("change", "n_calls"),
    [({}, 0), ({"n_hidden": 16}, 1), ({"decoder": "additive"}, 1), ({"likelihood": "nb"}, 1)],
)
def test_a_gaussian_step_needs_no_means_of_the_minibatch(change, n_calls):
    kwargs = {"likelihood": "gaussian", "n_hidden": 8, "transplant_weight": 0.0} | change
    module = make_model(**kwargs).module.train()
    calls = []
    module.decoder.register_forward_hook(lambda *_args: calls.append(1))
    tensors = _minibatch(module)
    module(tensors)
    assert len(calls) == n_calls
    # Nothing is lost in differences of large sums where values count
    module.eval()(tensors)
    assert len(calls) == n_calls + 1


def _columns(n_rows):
    return {
        "batch": torch.zeros(n_rows, 1, dtype=torch.int64),
        "role": torch.arange(n_rows, dtype=torch.float32)[:, None] % 2,
    }
