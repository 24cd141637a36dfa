#include "common/job_workers.h"

#include <string>

#include "common/compress_config.h"
#include "common/errors.h"

namespace atelier {

absl::Status CheckWorkers(const TrainConfig& config, std::int64_t workers) {
  if (workers <= 1) {
    return absl::OkStatus();
  }
  if (config.family == "gatys") {
    return InvalidField("workers",
                        "must be 1 for the family \"gatys\", which optimises every picture by "
                        "itself");
  }
  if (config.family == kQuantize) {
    return InvalidField("workers", "must be 1 for \"quantize\", which looks at pictures only");
  }
  if (config.gan.mode_seeking_weight > 0) {
    return InvalidField("train.gan.mode_seeking_weight",
                        "is the weight of a ratio of two means over the batch, which ranks cannot "
                        "split, and must be 0 with several workers (the default of the family "
                        "\"cgan\" is 1)");
  }
  if (config.batch_size % workers != 0) {
    return InvalidField(std::string(config.compresses() ? config.family : "train") + ".batch_size",
                        "must be a multiple of the number of workers, " + std::to_string(workers) +
                            ", and is " + std::to_string(config.batch_size));
  }
  return absl::OkStatus();
}

}  // namespace atelier
