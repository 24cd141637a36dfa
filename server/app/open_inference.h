// The parts behind inference.GRPCInferenceService, put together.
#pragma once

#include <functional>

#include "common/clock.h"
#include "prometheus/registry.h"
#include "server/admission/admission.h"
#include "server/admission/generate_admission.h"
#include "server/cache/response_cache.h"
#include "server/desk/work_desk.h"
#include "server/inference/inference_admission.h"
#include "server/inference/served_models.h"
#include "server/models/managed_loading.h"
#include "server/models/model_manager.h"
#include "server/models/model_registry.h"
#include "server/models/model_statistics.h"
#include "server/rpc/inference_service.h"

namespace atelier::server {

class OpenInference {
 public:
  // All outlive the object.
  struct Parts {
    const ModelRegistry& models;
    const Admission& stylize;
    const GenerateAdmission& generate;
    WorkDesk& desk;
    const ModelStatisticsTable& statistics;
    const ResponseCache& cache;
    ModelManager& manager;
    prometheus::Registry& metrics;
    const Clock& clock;
    bool identity = false;        // whether the model for measuring is offered
    std::function<bool()> ready;  // whether requests are taken
  };

  explicit OpenInference(Parts parts);

  InferenceService& service() { return service_; }

 private:
  CallProbe probe_;
  ServedModels models_;
  InferenceAdmission admission_;
  ManagedLoading loading_;
  InferenceService service_;
};

}  // namespace atelier::server
