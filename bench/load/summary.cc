#include "bench/load/summary.h"

namespace atelier::bench {

Summary Summarize(const std::vector<CallRecord>& records) {
  Summary summary{.calls = records.size()};
  for (const CallRecord& record : records) {
    switch (record.code) {
      case absl::StatusCode::kOk:
        ++summary.ok;
        summary.ok_ms.push_back(absl::ToDoubleMilliseconds(record.since_due));
        break;
      case absl::StatusCode::kResourceExhausted:
        ++summary.refused;
        summary.refused_ms.push_back(absl::ToDoubleMilliseconds(record.latency));
        break;
      case absl::StatusCode::kDeadlineExceeded:
        ++summary.late;
        break;
      default:
        ++summary.failed;
    }
  }
  return summary;
}

}  // namespace atelier::bench
