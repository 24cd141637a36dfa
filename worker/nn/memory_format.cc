#include "worker/nn/memory_format.h"

#include <torch/torch.h>

namespace atelier::nn {

void UseChannelsLast(torch::nn::Module& module) {
  for (torch::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.data().contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
}

}  // namespace atelier::nn
