// Errors that carry more than a sentence: the field at fault, the time after which a retry makes
// sense, the thing that was not found. The extra facts travel as absl::Status payloads;
// common/rpc/grpc_status.h turns them into google.rpc details at the edge.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace atelier {

// INVALID_ARGUMENT, "field: sentence". `field` is the snake_case path of the request's field, for
// example "train.data.style".
absl::Status InvalidField(std::string_view field, std::string_view sentence);

// The same complaint about `field`, where `status` names another one: for functions that know one
// field and are used for a second. A status that names none is returned as it is.
absl::Status AboutField(const absl::Status& status, std::string_view field);

// RESOURCE_EXHAUSTED with the delay after which the caller may try again.
absl::Status RetryLater(absl::Duration delay, std::string_view sentence);

// The same status with that delay.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

// NOT_FOUND for a resource of `type` ("model", "job", "dataset") called `name`.
absl::Status NotFoundResource(std::string_view type, std::string_view name,
                              std::string_view sentence);

// The same status with a protobuf message as a detail, which a client receives as it is. `type`:
// its full name, "atelier.v1.GateReport"; `bytes`: serialised. One of each type.
absl::Status WithDetail(absl::Status status, std::string_view type, std::string_view bytes);
std::optional<std::string> DetailOf(const absl::Status& status, std::string_view type);
// What stands before the type's name in the URL of such a payload.
inline constexpr std::string_view kDetailPrefix = "type.googleapis.com/";

// The facts above, if `status` carries them.
std::optional<std::string> FieldOf(const absl::Status& status);
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);
struct ResourceName {
  std::string type;
  std::string name;
};
std::optional<ResourceName> ResourceOf(const absl::Status& status);

}  // namespace atelier
