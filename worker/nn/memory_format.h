// Memory layouts.
#pragma once

#include <torch/nn/module.h>

namespace atelier::nn {

// Lays the weights of all convolutions below `module` out as channels_last, which oneDNN and cuDNN
// prefer; activations follow them.
void UseChannelsLast(torch::nn::Module& module);

}  // namespace atelier::nn
