// The gate in front of the queue for the Open Inference Protocol: turns a ModelInferRequest into
// work for workers, through the same admission as atelier.v1's requests, or says which field,
// tensor or parameter is at fault.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/pixel_layout.h"
#include "inference/grpc_service.pb.h"
#include "server/admission/admission.h"
#include "server/admission/call_terms.h"
#include "server/admission/generate_admission.h"
#include "server/inference/model_tensors.h"
#include "server/inference/served_models.h"
#include "server/inference/tensors.h"
#include "server/queue/work.h"

namespace atelier::server {

// An admitted request.
struct Inference {
  std::string request_id;
  std::string model;
  std::uint32_t version = 0;
  InferenceKind kind = InferenceKind::kStylize;
  CallTerms terms;
  // kStylize: a picture each. Otherwise one.
  std::vector<Work> works;
  // How the answer lies.
  PixelLayout layout = PixelLayout::kEncoded;
  std::vector<std::int64_t> shape;    // of the first input
  std::vector<std::string> warnings;  // of admission
};

// Thread-safe. Blocks as long as ModelRegistry::Resolve does.
class InferenceAdmission {
 public:
  // All outlive the object. `make_request_id` names requests without an id; it is thread-safe.
  InferenceAdmission(const ServedModels& models, const Admission& stylize,
                     const GenerateAdmission& generate,
                     std::function<std::string()> make_request_id)
      : models_(models),
        stylize_(stylize),
        generate_(generate),
        make_request_id_(std::move(make_request_id)) {}

  // INVALID_ARGUMENT naming `model_name`, `model_version`, `id`, `outputs`, `inputs`, a tensor or
  // `parameters.NAME`; NOT_FOUND a model or version; UNIMPLEMENTED shared memory, sequences,
  // classification.
  absl::StatusOr<Inference> Admit(const inference::ModelInferRequest& request) const;

 private:
  absl::Status AdmitStylize(const inference::ModelInferRequest& request,
                            const std::vector<InputTensor>& inputs, Inference& out) const;
  absl::Status AdmitGenerate(const inference::ModelInferRequest& request,
                             const std::vector<InputTensor>& inputs, Inference& out) const;

  const ServedModels& models_;
  const Admission& stylize_;
  const GenerateAdmission& generate_;
  const std::function<std::string()> make_request_id_;
};

}  // namespace atelier::server
