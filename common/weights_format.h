// How weights lie in a file.
#pragma once

namespace atelier {

enum class WeightsFormat {
  kSafetensors,
  kTorchPickle,  // either layout of torch.save
  kTorchScript,  // torch.jit.save
};

}  // namespace atelier
