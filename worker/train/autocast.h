// Mixed precision on CPUs for the time of a scope: convolutions and matrix products in bfloat16,
// everything else as it is.
#pragma once

#include <ATen/autocast_mode.h>

#include "common/train_config.h"

namespace atelier::train {

class Autocast {
 public:
  explicit Autocast(Precision precision)
      : was_enabled_(at::autocast::is_autocast_enabled(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, precision == Precision::kBf16);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    // The cache of converted weights must not outlive the scope: the optimiser changes the weights.
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(at::kCPU, was_enabled_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool was_enabled_;
};

}  // namespace atelier::train
