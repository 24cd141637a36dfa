// Mixed precision for the time of a scope: convolutions and matrix products in bfloat16 or half
// precision, everything else as it is.
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/Device.h>

#include "common/train_config.h"

namespace atelier::train {

class Autocast {
 public:
  // For operations on `device`.
  Autocast(Precision precision, const c10::Device& device)
      : type_(device.type()),
        was_enabled_(at::autocast::is_autocast_enabled(type_)),
        dtype_before_(at::autocast::get_autocast_dtype(type_)) {
    const bool half = precision == Precision::kFp16;
    at::autocast::set_autocast_enabled(type_, half || precision == Precision::kBf16);
    at::autocast::set_autocast_dtype(type_, half ? at::kHalf : at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    // The cache of converted weights must not outlive the scope: the optimiser changes the weights.
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_dtype(type_, dtype_before_);
    at::autocast::set_autocast_enabled(type_, was_enabled_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const c10::DeviceType type_;
  const bool was_enabled_;
  const at::ScalarType dtype_before_;
};

}  // namespace atelier::train
