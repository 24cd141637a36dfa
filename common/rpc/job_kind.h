// What a job is to do, whatever its kind.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "atelier/v1/training.pb.h"

namespace atelier {

struct JobKind {
  std::string name;                          // "train", "distil", ...: the field of JobSpec.kind
  const google::protobuf::Message* message;  // lives as long as the spec
};

// `spec.kind` must be set.
inline JobKind KindOf(const v1::JobSpec& spec) {
  const google::protobuf::Reflection& reflection = *spec.GetReflection();
  const google::protobuf::FieldDescriptor* field =
      reflection.GetOneofFieldDescriptor(spec, v1::JobSpec::descriptor()->FindOneofByName("kind"));
  return {std::string(field->name()), &reflection.GetMessage(spec, field)};
}

}  // namespace atelier
