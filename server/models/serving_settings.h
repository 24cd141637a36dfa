// How models are served: what the configuration file says and may say anew at any time. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace atelier::server {

// How requests of one model are computed together.
struct Batching {
  std::uint32_t max_size = 8;  // pictures, at least 1
  // How long a picture waits for others while the device is free; zero: what has arrived goes.
  absl::Duration max_delay = absl::ZeroDuration();
};

struct ServingSettings {
  struct Model {
    std::optional<Batching> batching;  // instead of the general one
    // What NAME means is loaded from the start, and kept.
    bool keep = false;
    // Pictures of these sides are restyled once after loading. Unit: pixels; empty: 256.
    std::vector<std::uint32_t> warmup_sizes;
  };

  Batching batching;
  std::map<std::string, Model> models;  // by name
};

}  // namespace atelier::server
