#include "worker/files/worker_errors.h"

#include <string>
#include <string_view>

namespace atelier::worker {
namespace {

constexpr std::string_view kOnWorker = "on the worker: ";

}  // namespace

absl::Status OnWorker(const absl::Status& status) {
  if (status.ok() || IsOnWorker(status)) {
    return status;
  }
  return {absl::IsNotFound(status) ? absl::StatusCode::kInternal : status.code(),
          std::string(kOnWorker) + std::string(status.message())};
}

bool IsOnWorker(const absl::Status& status) {
  return std::string(status.message()).starts_with(kOnWorker);
}

}  // namespace atelier::worker
