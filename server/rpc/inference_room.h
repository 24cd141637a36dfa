// What the calls of the Open Inference Protocol work with. Everything outlives the service.
#pragma once

#include <functional>

#include "common/clock.h"
#include "server/cache/response_cache.h"
#include "server/desk/work_desk.h"
#include "server/inference/inference_admission.h"
#include "server/inference/served_models.h"
#include "server/models/model_loading.h"
#include "server/models/model_statistics.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

struct InferenceRoom {
  const ServedModels& models;
  const InferenceAdmission& admission;
  WorkDesk& desk;
  CallProbe& probe;
  const ModelStatisticsTable& statistics;
  const ResponseCache& cache;
  ModelLoading& loading;
  std::function<bool()> ready;  // whether requests are taken; thread-safe
  const Clock& clock;
};

}  // namespace atelier::server
