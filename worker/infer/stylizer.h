// A trained generator, ready to restyle pictures.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"

namespace atelier::infer {

class Stylizer {
 public:
  struct Options {
    std::filesystem::path directory;  // model.json, weights.safetensors
    std::string weights_sha256;       // expected; empty: the one in model.json
    std::string device = "cpu";       // "cpu" or "cuda:N"
  };

  // Loads, verifies and warms up. NOT_FOUND: no such folder; DATA_LOSS: checksum, names or shapes
  // disagree; UNIMPLEMENTED: unknown family; RESOURCE_EXHAUSTED: out of memory;
  // FAILED_PRECONDITION: the device is not there.
  static absl::StatusOr<std::unique_ptr<Stylizer>> Load(const Options& options);

  virtual ~Stylizer() = default;

  // uint8 [N, H, W, 3] in, uint8 [N, H, W, 3] out, on the CPU, any H and W from 16 to 4096. A
  // picture's result does not depend on the others in its batch (on CPUs bit for bit). Thread-safe;
  // calls run one after the other. RESOURCE_EXHAUSTED: out of memory; INTERNAL: the device failed.
  virtual absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images, Precision precision) = 0;

  virtual const ModelSpec& spec() const = 0;
  virtual std::uint64_t bytes() const = 0;  // of its weights in memory
};

}  // namespace atelier::infer
