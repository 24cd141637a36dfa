#include "server/inference/statistics_proto.h"

#include <cmath>

namespace atelier::server {
namespace {

void SetTally(std::uint64_t count, absl::Duration time, inference::StatisticDuration& out) {
  out.set_count(count);
  out.set_ns(static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(time)));
}

void SetTally(const Tally& tally, inference::StatisticDuration& out) {
  SetTally(tally.count, tally.time, out);
}

// Members of a batch are counted as they are answered: what is between whole executions rounds.
std::uint64_t Whole(double executions) {
  return static_cast<std::uint64_t>(std::llround(executions));
}

}  // namespace

void ToProto(const std::string& name, std::uint32_t version, const ModelStatistics& statistics,
             inference::ModelStatistics& out) {
  out.set_name(name);
  out.set_version(std::to_string(version));
  if (statistics.last_inference != absl::InfinitePast()) {
    out.set_last_inference(
        static_cast<std::uint64_t>(absl::ToUnixMillis(statistics.last_inference)));
  }
  out.set_inference_count(statistics.pictures);
  out.set_execution_count(Whole(statistics.executions));
  inference::InferStatistics& of = *out.mutable_inference_stats();
  SetTally(statistics.success, *of.mutable_success());
  SetTally(statistics.fail, *of.mutable_fail());
  SetTally(statistics.queue, *of.mutable_queue());
  SetTally(statistics.decode, *of.mutable_compute_input());
  SetTally(statistics.compute, *of.mutable_compute_infer());
  SetTally(statistics.encode, *of.mutable_compute_output());
  SetTally(statistics.cache_hit, *of.mutable_cache_hit());
  SetTally(statistics.cache_miss, *of.mutable_cache_miss());
  for (const auto& [size, batch] : statistics.batches) {
    inference::InferBatchStatistics& to = *out.add_batch_stats();
    to.set_batch_size(size);
    const std::uint64_t count = Whole(batch.executions);
    SetTally(count, batch.decode, *to.mutable_compute_input());
    SetTally(count, batch.compute, *to.mutable_compute_infer());
    SetTally(count, batch.encode, *to.mutable_compute_output());
  }
}

}  // namespace atelier::server
