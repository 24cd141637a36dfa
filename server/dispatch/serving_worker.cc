#include "server/dispatch/serving_worker.h"

#include <algorithm>
#include <tuple>
#include <variant>

namespace atelier::server {

std::string WeightsOf(const Work& work) {
  if (const auto* stylize = std::get_if<StylizeWork>(&work)) {
    return stylize->model.weights_sha256;
  }
  const auto* generate = std::get_if<GenerateWork>(&work);
  return generate == nullptr ? "" : generate->model.weights_sha256;
}

bool ServingWorker::Has(const std::string& weights) const {
  // A worker that has such a task is loading them, if it has not done so yet.
  return weights.empty() || loaded.contains(weights) ||
         std::ranges::any_of(
             in_work, [&](const auto& task) { return task.second.cause.weights == weights; });
}

ServingWorker* ChooseWorker(const std::vector<ServingWorker*>& workers,
                            const RequestQueue::Assignment& next, absl::Time now) {
  const std::string weights = WeightsOf(*next.work);
  const auto cost = [&](const ServingWorker* worker) {
    const bool lacks = !worker->Has(weights);
    const double load = static_cast<double>(worker->tasks()) / worker->slots + (lacks ? 1 : 0);
    return std::tuple(worker->faults.Avoids(next.model, now), next.alone && !worker->idle(), load,
                      lacks, worker->last_picked);
  };
  return *std::ranges::min_element(workers, {}, cost);
}

}  // namespace atelier::server
