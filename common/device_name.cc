#include "common/device_name.h"

#include <string>

#include "common/errors.h"

namespace atelier {

bool IsDevice(std::string_view name) {
  constexpr std::string_view kNumbered = "cuda:";
  if (!name.starts_with(kNumbered)) {
    return name == "cpu";
  }
  const std::string_view number = name.substr(kNumbered.size());
  return !number.empty() && number.size() <= 3 &&
         number.find_first_not_of("0123456789") == std::string_view::npos &&
         std::stoi(std::string(number)) <= 127;
}

bool IsDeviceChoice(std::string_view name) {
  return IsDevice(name) || name == "cuda" || name == "auto";
}

absl::Status CheckTrainDevice(const TrainConfig& config, std::string_view device) {
  if (config.precision != Precision::kFp16 || device != "cpu") {
    return absl::OkStatus();
  }
  return InvalidField((config.compresses() ? config.family : "train") + ".precision",
                      "is FP16, which is for GPUs: this job would be trained on a CPU; use BF16 or "
                      "FP32, or train on a GPU (--trainer-device of atelier-server, --device of "
                      "atelier-train)");
}

}  // namespace atelier
