// A user's TorchScript program as a generator.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/nn/generator.h"

namespace atelier::models {

// forward(x) of the program takes float [N, 3, H, W] in [-1, 1] and returns the same; what lies
// outside of the range is cut off. Programs that take only multiples of a power of two, up to 256,
// get their pictures padded. Computes in fp32 whatever the type of x, because constants of a
// program may be fp32: `to` moves it between devices but keeps its type. Without the optimisations
// that LibTorch tries out in the first runs: every run gives the same bits.
//
// The program's tensors are registered as parameters and buffers, under their names with "/" for
// "."; they want no gradients. Cannot be trained: InitializeWeights throws c10::Error.
class TorchScriptGenerator final : public nn::Generator {
 public:
  // What `bytes` may do is bounded before it runs (torchscript_check.h): it can read its tensors
  // and the picture and calculate, nothing else. It can still calculate for ever or ask for too
  // much memory; where that matters, run this in a process that may be killed.
  //
  // Runs the program on pictures of up to 256x768 pixels. INVALID_ARGUMENT, saying which: not
  // TorchScript, an operator that is not allowed, no forward(x), a result that is not one tensor of
  // floating-point numbers, not [1, 3, H, W], not finite, or far outside of [-1, 1]. DATA_LOSS:
  // damaged. RESOURCE_EXHAUSTED: out of memory.
  static absl::StatusOr<std::shared_ptr<TorchScriptGenerator>> Parse(std::string_view bytes);

  // NOT_FOUND; RESOURCE_EXHAUSTED: larger than `max_bytes`; as above.
  static absl::StatusOr<std::shared_ptr<TorchScriptGenerator>> Read(
      const std::filesystem::path& path, std::uint64_t max_bytes);

  // Throws c10::Error, too, where the program does, or returns a picture of another size.
  torch::Tensor forward(const torch::Tensor& x) override;
  void InitializeWeights(at::Generator random) override;

  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Device device, bool non_blocking = false) override;

 private:
  TorchScriptGenerator(torch::jit::Module script, int multiple);

  torch::jit::Module script_;
  int multiple_;  // of both sides of the pictures that the program takes
};

}  // namespace atelier::models
