// What the outcome of every piece of work tells besides its pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/train_config.h"

namespace atelier::server {

struct OutcomeFacts {
  Precision precision = Precision::kFp32;
  std::vector<std::string> warnings;
  // Unit: seconds. `queue_s` is filled by the queue, the others by the worker.
  double queue_s = 0;
  double decode_s = 0;  // 0 where no picture is sent
  double load_s = 0;
  double compute_s = 0;
  double encode_s = 0;
  std::uint32_t batch_size = 0;  // pictures computed together; 0: none was computed
};

}  // namespace atelier::server
