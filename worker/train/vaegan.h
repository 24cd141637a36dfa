// The family "vaegan" (alias "hdrgan"): encoder, generator and discriminator, the hybrid of GAN and
// variational autoencoder (Larsen et al. 2016, arXiv:1512.09300; Kingma and Welling 2014,
// arXiv:1312.6114).
//
// With x a picture, E(x) its latent distribution, z drawn from it, p standard normal noise and f
// the discriminator's inner features, encoder and generator learn together from
//
//   reconstruction    reconstruction_weight L1(G(z), x)
//   feature_matching  feature_matching_weight FeatureMatching(f(G(z)), f(x))
//   kl                kl_weight KlDivergence(E(x)) / latent size
//   adversarial       GeneratorLoss(D(G(p))), which reaches the generator only
//   regularization    regularization_weight (SquaredWeights(E) + SquaredWeights(G))
//
// The discriminator learns first, from x against G(z) and G(p). The result is G.
// vaegan_pictures.h is the form from pictures to pictures.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeVaeganStep(const StepInputs& inputs);

}  // namespace atelier::train
