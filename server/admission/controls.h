// The controls that every request for pictures has. Functions are thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/types.pb.h"
#include "common/image_header.h"
#include "common/picture_bounds.h"
#include "common/train_config.h"
#include "server/models/model_registry.h"

namespace atelier::server {

inline constexpr std::uint32_t kDefaultQuality = 95;

// INVALID_ARGUMENT naming the field, all of them.
absl::Status CheckRequestId(const std::string& id);
absl::Status CheckQuality(std::uint32_t quality);
// That the model lists what the field `control` needs among its capabilities, of the same name
// where none is given. The sentence tells those that it has.
absl::Status CheckCapability(std::string_view control, const ModelVersion& model);
absl::Status CheckCapability(std::string_view control, std::string_view capability,
                             const ModelVersion& model);
// nullopt: not said.
absl::StatusOr<std::optional<ImageFormat>> FormatOf(v1::ImageFormat format);
// The model's own when not said.
absl::StatusOr<Precision> PrecisionOf(v1::Precision precision, const ModelVersion& model);

// Whether its family makes patterns from noise; all others restyle pictures.
bool MakesPatterns(const ModelVersion& model);

// 16 random hexadecimal digits.
std::string RandomRequestId();
// Below 2^32, so that people can type it.
std::uint64_t RandomSeed();

}  // namespace atelier::server
