// Which networks a file's names and shapes may be meant for. Pure functions, thread-safe.
#pragma once

#include <vector>

#include "worker/models/expected_shapes.h"

namespace atelier::models {

// Every architecture whose first layer the file has, with its options read off the other names; all
// are fit for ExpectedShapes, but need not equal it.
std::vector<Architecture> GuessArchitectures(const Shapes& file);

// The first layers of PatchGAN, PixelGAN and DCGAN's discriminator, of one or several scales.
bool LooksLikeDiscriminator(const Shapes& file);

}  // namespace atelier::models
