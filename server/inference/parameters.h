// The parameters of a ModelInferRequest: those of the protocol (priority, timeout), and our
// controls as `atelier_*`. Pure functions, thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/generate.pb.h"
#include "atelier/v1/stylize.pb.h"
#include "inference/grpc_service.pb.h"
#include "server/admission/call_terms.h"

namespace atelier::server {

// Priority and timeout. INVALID_ARGUMENT naming `parameters.NAME`: a value of another type or out
// of range, a parameter that is not known; those that begin with "atelier_" are not looked at, and
// those with "triton_" mean nothing here. UNIMPLEMENTED: sequences.
absl::StatusOr<CallTerms> TermsOfInference(const inference::ModelInferRequest& request);

// Sets the controls that the parameters "atelier_*" name; other fields of `out` stay as they are.
// INVALID_ARGUMENT naming `parameters.NAME`: one that is not known, or of another type. Ranges are
// admission's.
absl::Status SetControls(const inference::ModelInferRequest& request, v1::StylizeRequest& out);
absl::Status SetControls(const inference::ModelInferRequest& request, v1::GenerateRequest& out);
// For models without controls: refuses all of them.
absl::Status RefuseControls(const inference::ModelInferRequest& request);

// Admission's complaint about a field, in terms of the inference request: controls become
// `parameters.atelier_NAME`.
absl::Status InInferenceTerms(const absl::Status& status);

}  // namespace atelier::server
