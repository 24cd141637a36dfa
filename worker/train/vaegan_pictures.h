// The family "vaegan-pictures", which a job of "vaegan" with data.style is: the hybrid of GAN and
// variational autoencoder from pictures to pictures, with one space of codes for both sets: UNIT
// (Liu et al. 2017, arXiv:1703.00848).
//
// With A the content set, B the style set; E_A, E_B the encoders and G_A, G_B the decoders of
// nn::SharedLatentGenerator; z_A = E_A(a) + noise, z_B likewise; the translations b' = G_B(z_A) and
// a' = G_A(z_B); L1 the mean absolute difference; KL(m) = KlDivergence(N(m, 1)) over the numbers of
// a code, half the mean of m^2:
//
//   reconstruction_a  reconstruction_weight L1(G_A(z_A), a), and reconstruction_b likewise
//   kl                kl_weight (KL(E_A(a)) + KL(E_B(b)))
//   cycle_a           cycle_weight L1(G_A(E_B(b') + noise), a), and cycle_b likewise
//   cycle_kl          cycle_kl_weight (KL(E_B(b')) + KL(E_A(a')))
//   adversarial_b     GeneratorLoss(D_B(b')), and adversarial_a with D_A(a')
//   feature_matching  feature_matching_weight (FeatureMatching(f_A(G_A(z_A)), f_A(a)) + that of B),
//                     f the discriminators' inner features (Larsen et al. 2016, arXiv:1512.09300)
//   regularization    regularization_weight SquaredWeights(encoders and decoders)
//
// and from ExtraLosses of both translations. The first six are the paper's, whose pictures are
// Laplacian given their code: its negative log likelihoods are absolute differences. The
// discriminators learn first, D_B from b against b', D_A from a against a'. The result is the whole
// network, which serves a -> G_B(E_A(a)).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeVaeganPicturesStep(const StepInputs& inputs);

}  // namespace atelier::train
