// absl::Time ↔ google.protobuf.Timestamp, to the microsecond, which is also what the store keeps.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

#include "absl/time/time.h"

namespace atelier::server {

inline google::protobuf::Timestamp MicrosToProto(std::int64_t micros) {
  google::protobuf::Timestamp proto;
  proto.set_seconds(micros / 1'000'000);
  proto.set_nanos(static_cast<std::int32_t>(micros % 1'000'000) * 1000);
  return proto;
}

inline std::int64_t ProtoToMicros(const google::protobuf::Timestamp& proto) {
  return proto.seconds() * 1'000'000 + proto.nanos() / 1000;
}

// `time` is finite and not before 1970.
inline google::protobuf::Timestamp TimeToProto(absl::Time time) {
  return MicrosToProto(absl::ToUnixMicros(time));
}

}  // namespace atelier::server
