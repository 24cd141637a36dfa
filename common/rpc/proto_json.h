// Protobuf messages as JSON, as every program here writes and reads them.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace atelier {

// One line; keys in snake_case; fields at their default included, unset optional fields and
// messages left out; 64-bit numbers as strings and bytes in base64, as protobuf's JSON has them.
std::string ToJson(const google::protobuf::Message& message);

// Reads keys in snake_case or camelCase into `message`, which is empty afterwards when this fails.
// INVALID_ARGUMENT: not JSON; an unknown field or a value that does not fit, naming the field.
absl::Status FromJson(std::string_view json, google::protobuf::Message& message);

}  // namespace atelier
