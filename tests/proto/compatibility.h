// What "protos only grow" means, as a comparison of two descriptor sets.
#pragma once

#include <google/protobuf/descriptor.pb.h>

#include <string>
#include <vector>

namespace atelier::test {

// Sentences about everything in `kept` that `current` lacks or has changed: messages, fields (by
// number: name, type, label, JSON name, oneof), enums, enum values, services, rpcs; and about enums
// of `current` whose zero does not end in UNSPECIFIED. Empty: compatible.
std::vector<std::string> Incompatibilities(const google::protobuf::FileDescriptorSet& kept,
                                           const google::protobuf::FileDescriptorSet& current);

}  // namespace atelier::test
