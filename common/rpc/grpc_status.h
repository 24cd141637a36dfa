// The one mapping between absl::Status and grpc::Status, with google.rpc details (BadRequest,
// RetryInfo, ResourceInfo, ErrorInfo).
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace atelier {

// Codes are the same numbers. Payloads made by common/errors.h become google.rpc details, messages
// of atelier.v1 (WithDetail) go as they are; every
// error gets an ErrorInfo with domain "atelier" and the code's name as reason.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The way back, for clients: code, message, and the facts of common/errors.h from the details.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same as a message within a stream.
google::rpc::Status ToRpcStatus(const absl::Status& status);
absl::Status FromRpcStatus(const google::rpc::Status& status);

}  // namespace atelier
