from __future__ import annotations

import math

import pytest
import torch
from scvi import REGISTRY_KEYS
from torch import nn

from scsalient import objective
from scsalient.data import Role
from scsalient.module import ContrastiveVAEModule, Posterior, StandardVAEModule
from scsalient.module._contrastive import TRANSPLANT_TOLERANCE
from scsalient.nn import Covariates


def make_module(**kwargs):
    torch.manual_seed(0)
    defaults = {
        "n_salient_latent": 2,
        "n_background_latent": 3,
        "n_hidden": 8,
        "likelihood": "gaussian",
    }
    return ContrastiveVAEModule(5, **(defaults | kwargs)).eval()


def make_tensors(n: int = 6, n_target: int = 3):
    role = torch.full((n, 1), float(Role.BACKGROUND))
    role[:n_target] = float(Role.TARGET)
    return {
        REGISTRY_KEYS.X_KEY: torch.randn(n, 5, generator=torch.Generator().manual_seed(1)),
        REGISTRY_KEYS.BATCH_KEY: torch.zeros(n, 1, dtype=torch.long),
        "role": role,
    }


def _log_prob(module, tensors, samples):
    return module.generative(tensors, samples)["log_prob"]


def test_background_rows_are_untouched_by_s():
    module, tensors = make_module(), make_tensors()
    z = torch.randn(6, 3)
    one = _log_prob(module, tensors, {"salient": torch.randn(6, 2), "background": z})
    other = _log_prob(module, tensors, {"salient": torch.randn(6, 2), "background": z})
    torch.testing.assert_close(one[3:], other[3:])
    assert not torch.isclose(one[:3], other[:3]).any()


def _of_type(network, cls):
    return [layer for layer in network.modules() if isinstance(layer, cls)]


def test_layers_of_encoders_and_decoder_are_counted_apart():
    module = make_module(n_layers_encoder=3, n_layers=2)
    for encoder in (module.salient_encoder, module.background_encoder):
        assert len(_of_type(encoder, nn.ReLU)) == 3
    assert len(_of_type(module.decoder, nn.ReLU)) == 2


@pytest.mark.parametrize(("n_layers", "n_dense"), [(1, 1), (2, 1), (3, 2)])
def test_convolutions_count_as_a_layer_of_an_encoder(n_layers, n_dense):
    module = ContrastiveVAEModule(
        64,
        n_salient_latent=2,
        n_background_latent=3,
        likelihood="gaussian",
        network="conv",
        image_shape=(8, 8),
        n_layers_encoder=n_layers,
    )
    for encoder in (module.salient_encoder, module.background_encoder):
        assert len(_of_type(encoder.dense, nn.ReLU)) == n_dense


@pytest.mark.parametrize(
    ("likelihood", "asked", "expected"),
    [
        ("gaussian", None, (2, 2)),
        ("bernoulli", None, (2, 0)),
        ("nb", None, (2, 0)),
        ("gaussian", False, (0, 0)),
        ("nb", True, (2, 1)),
    ],
)
def test_where_layer_norm_is(likelihood, asked, expected):
    module = make_module(likelihood=likelihood, use_layer_norm=asked)
    encoders = (module.salient_encoder, module.background_encoder)
    assert tuple(len(_of_type(encoder, nn.LayerNorm)) for encoder in encoders) == expected
    assert not _of_type(module.decoder, nn.LayerNorm)


@pytest.mark.parametrize(
    ("likelihood", "asked", "expected"),
    [
        ("gaussian", None, (2, 2)),
        ("bernoulli", None, (2, 1)),
        ("nb", None, (2, 1)),
        ("zinb", 2, (2, 2)),
        ("poisson", 1, (1, 1)),
    ],
)
def test_depth_of_encoders(likelihood, asked, expected):
    module = make_module(likelihood=likelihood, n_layers_encoder=asked)
    encoders = (module.salient_encoder, module.background_encoder)
    assert tuple(len(_of_type(encoder, nn.ReLU)) for encoder in encoders) == expected


def test_batch_equals_row_by_row():
    module, tensors = make_module(), make_tensors()
    posteriors = module.encode(tensors[REGISTRY_KEYS.X_KEY], module.covariates(tensors))
    for i in range(6):
        row = {k: v[i : i + 1] for k, v in tensors.items()}
        single = module.encode(row[REGISTRY_KEYS.X_KEY], module.covariates(row))
        for kind in ("salient", "background"):
            torch.testing.assert_close(single[kind].mean, posteriors[kind].mean[i : i + 1])
            torch.testing.assert_close(single[kind].variance, posteriors[kind].variance[i : i + 1])


@pytest.mark.parametrize(("kl_weight", "penalty_weight"), [(1.0, 1.0), (0.3, 0.5)])
def test_loss_is_the_sum_of_its_terms(kl_weight, penalty_weight):
    module = make_module(
        tc_weight=2.0, mmd_weight=3.0, background_salient_weight=0.5, transplant_weight=4.0
    )
    tensors = make_tensors()
    weights = {"kl_weight": kl_weight, "penalty_weight": penalty_weight}
    _, _, out = module(tensors, loss_kwargs=weights)
    terms = out.extra_metrics
    target = torch.tensor([True] * 3 + [False] * 3)
    kl = out.kl_local["kl_local"]
    negative_elbo = out.reconstruction_loss["reconstruction_loss"] + kl_weight * kl
    penalties = (
        2.0 * terms["total_correlation"]
        + 3.0 * terms["mmd"]
        + 0.5 * terms["background_salient"]
        + 4.0 * terms["transplant"]
    )
    expected = negative_elbo[target].mean() + negative_elbo[~target].mean()
    torch.testing.assert_close(out.loss, expected + penalty_weight * penalties)


def test_the_divergence_of_z_is_logged_for_all_rows():
    module, tensors = make_module(), make_tensors()
    _, _, out = module(tensors)
    z = module.encode(tensors[REGISTRY_KEYS.X_KEY], module.covariates(tensors))["background"]
    expected = 0.5 * (z.mean**2 + z.variance - z.variance.log() - 1).sum(-1).mean()
    torch.testing.assert_close(out.extra_metrics["kl_background"], expected)


def test_all_cells_but_the_background_may_have_a_salient_part():
    role = torch.tensor([[float(Role.BACKGROUND)], [float(Role.TARGET)], [float(Role.NEITHER)]])
    assert ContrastiveVAEModule.is_target({"role": role}).tolist() == [False, True, True]


def test_the_discriminator_tells_pairs_from_those_with_the_next_row(monkeypatch):
    module, tensors = make_module(), make_tensors()
    seen = {}

    def looked_at(discriminator, salient, background, *, permuted_salient):
        seen.update(salient=salient, permuted=permuted_salient, background=background)
        return salient.sum()

    inference, _, _ = module(tensors)
    monkeypatch.setattr(objective, "discriminator_loss", looked_at)
    module.discriminator_step(inference)
    torch.testing.assert_close(seen["salient"], inference["samples"]["salient"][:3])
    torch.testing.assert_close(seen["permuted"], seen["salient"][[2, 0, 1]])
    torch.testing.assert_close(seen["background"], inference["samples"]["background"][:3])


def test_background_rows_pay_no_salient_kl():
    module, tensors = make_module(), make_tensors()
    _, _, out = module(tensors)
    posterior = module.encode(tensors[REGISTRY_KEYS.X_KEY], module.covariates(tensors))
    z = posterior["background"]
    expected = 0.5 * (z.mean**2 + z.variance - z.variance.log() - 1).sum(-1)
    torch.testing.assert_close(out.kl_local["kl_local"][3:], expected[3:])
    assert (out.kl_local["kl_local"][:3] > expected[:3]).all()


@pytest.mark.parametrize("n_target", [0, 6])
def test_loss_is_finite_with_one_group_only(n_target):
    _, _, out = make_module()(make_tensors(n_target=n_target))
    assert torch.isfinite(out.loss)


def test_discriminator_step_and_objective_do_not_share_gradients():
    module, tensors = make_module().train(), make_tensors()
    inference, _, out = module(tensors)
    module.discriminator_step(inference).backward()
    assert all(p.grad is None for p in module.salient_encoder.parameters())
    assert all(p.grad is None for p in module.background_encoder.parameters())
    assert all(p.grad is None for p in module.decoder.parameters())
    module.zero_grad()
    out.loss.backward()
    assert all(p.grad is None for p in module.discriminator.parameters())
    assert all(p.grad is not None for p in module.salient_encoder.parameters())


def test_zero_bias_networks_give_zero_at_zero():
    module = make_module(use_bias=False)
    covariates = Covariates((torch.zeros(2, 1, dtype=torch.long),))
    posteriors = module.encode(torch.zeros(2, 5), covariates)
    for posterior in posteriors.values():
        torch.testing.assert_close(posterior.mean, torch.zeros_like(posterior.mean))
    outputs = module.decode({"background": torch.zeros(2, 3)}, covariates)
    torch.testing.assert_close(outputs["mean"], torch.zeros(2, 5))


@pytest.mark.parametrize("likelihood", ["gaussian", "nb"])
def test_additive_decoder_adds_the_same_whatever_z(likelihood):
    module = make_module(decoder="additive", likelihood=likelihood, n_categories=(2,))
    covariates = Covariates((torch.tensor([[0], [1], [1]]),))
    s, z = torch.randn(1, 2).expand(3, 2), torch.randn(3, 3)
    head = module.likelihood.heads[0]
    with_s = module.decode({"salient": s, "background": z}, covariates)[head]
    without = module.decode({"background": z}, covariates)[head]
    effect = with_s - without
    torch.testing.assert_close(effect, effect[:1].expand(3, 5), atol=1e-6, rtol=1e-5)
    assert (effect[0] != 0).all()
    assert (without[0] != without[1]).all()


def test_additive_decoder_adds_nothing_at_zero():
    module = make_module(decoder="additive", dropout_rate=0.5).train()
    covariates = Covariates((torch.zeros(4, 1, dtype=torch.long),))
    z = torch.randn(4, 3)
    torch.manual_seed(0)
    zero = module.decode({"salient": torch.zeros(4, 2), "background": z}, covariates)["mean"]
    torch.manual_seed(0)
    shared = module.decoder.shared(z, covariates)["mean"]
    torch.testing.assert_close(zero, shared)


def test_a_latent_left_out_of_decode_is_zero():
    module = make_module()
    covariates = Covariates((torch.zeros(2, 1, dtype=torch.long),))
    s = torch.randn(2, 2)
    torch.testing.assert_close(
        module.decode({"salient": s}, covariates)["mean"],
        module.decode({"salient": s, "background": torch.zeros(2, 3)}, covariates)["mean"],
    )


def test_draws_of_a_posterior_have_its_mean_and_variance():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.25, 4.0]]))
    n = 100_000
    draws = posterior.sample(n, generator=torch.Generator().manual_seed(0))[:, 0]
    assert (
        (draws.mean(0) - posterior.mean[0]).abs() < 4 * posterior.variance[0].sqrt() / n**0.5
    ).all()
    torch.testing.assert_close(draws.var(0), posterior.variance[0], rtol=0.03, atol=0)


def _transplant(module, tensors):
    inference, _, _ = module(tensors)
    s = inference["posteriors"]["salient"].mean
    return module._transplant(tensors, inference["groups"], s, inference["samples"]["background"])


def test_transplant_teaches_the_salient_encoder_only():
    module = make_module().train()
    _transplant(module, make_tensors()).backward()
    taught = {name.split(".")[0] for name, p in module.named_parameters() if p.grad is not None}
    assert taught == {"salient_encoder"}


def test_transplant_is_the_surprise_at_a_known_effect():
    # One background row and one target row: no choice of pairs is left
    module, tensors = make_module(), make_tensors(n=2, n_target=1)
    inference, _, _ = module(tensors)
    covariates = module.covariates(tensors)
    means, samples = inference["posteriors"]["salient"].mean, inference["samples"]["background"]
    s, z = means[:1], samples[1:]
    x = tensors[REGISTRY_KEYS.X_KEY][1:]
    row = Covariates(tuple(c[1:] for c in covariates.categories))
    effect = (
        module.decode({"salient": s, "background": z}, row)["mean"]
        - module.decode({"background": z}, row)["mean"]
    )
    posterior = module.encode(x + effect, row)["salient"]
    tolerated = posterior.variance + TRANSPLANT_TOLERANCE
    density = torch.distributions.Normal(posterior.mean, tolerated.sqrt())
    expected = -density.log_prob(s).sum() - 0.5 * 2 * math.log(2 * math.pi)
    found = module._transplant(tensors, inference["groups"], means, samples)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("n_target", "weight"), [(0, 1.0), (6, 1.0), (3, 0.0)])
def test_transplant_is_zero_without_pairs_or_weight(n_target, weight):
    module = make_module(transplant_weight=weight)
    assert _transplant(module, make_tensors(n_target=n_target)) == 0


def test_transplant_leaves_the_decoder_as_it_was():
    module = make_module(use_batch_norm=True).train()
    tensors = make_tensors()
    s, z = torch.randn(6, 2), torch.randn(6, 3)
    before = {name: b.clone() for name, b in module.decoder.named_buffers()}
    module._transplant(tensors, module.groups(tensors), s, z)
    assert module.decoder.training
    for name, buffer in module.decoder.named_buffers():
        torch.testing.assert_close(buffer, before[name])


def test_the_standard_model_warms_up_its_divergence():
    torch.manual_seed(0)
    module = StandardVAEModule(5, n_background_latent=2, n_hidden=8, likelihood="gaussian").eval()
    losses = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(1)
        _, _, out = module(make_tensors(), loss_kwargs={"kl_weight": weight})
        losses[weight] = out.loss.item()
    reconstruction = out.reconstruction_loss["reconstruction_loss"].mean().item()
    assert losses[0.0] == pytest.approx(reconstruction)
    kl = out.kl_local["kl_local"].mean().item()
    assert losses[1.0] == pytest.approx(reconstruction + kl)


def test_variances_of_the_posterior_have_limits():
    module = make_module(n_salient_latent=1)
    encoder = module.salient_encoder
    for extreme, expected in ((-1000.0, 1e-4), (1000.0, math.exp(10.0))):
        with torch.no_grad():
            encoder.moments.weight.zero_()
            encoder.moments.bias.fill_(extreme)
        _, variance = encoder(torch.zeros(1, 5), Covariates((torch.zeros(1, 1).long(),), None))
        assert variance.item() == pytest.approx(expected, rel=1e-3)
