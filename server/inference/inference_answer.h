// The answers of the workers as one ModelInferResponse. Pure functions, thread-safe.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "inference/grpc_service.pb.h"
#include "server/desk/work_desk.h"
#include "server/inference/inference_admission.h"

namespace atelier::server {

// Which inference `response` answers: what there is to tell without the outcome.
void Announce(const Inference& inference, const inference::ModelInferRequest& request,
              inference::ModelInferResponse& response);

// `answers` are OK, of the inference's works and in their order. RESOURCE_EXHAUSTED: the outputs
// are together larger than a message may be. INTERNAL: pixels of different sizes.
absl::Status FillAnswer(const Inference& inference, std::vector<WorkAnswer> answers,
                        inference::ModelInferResponse& response);

}  // namespace atelier::server
