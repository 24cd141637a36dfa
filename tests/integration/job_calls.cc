#include "tests/integration/job_calls.h"

#include <gtest/gtest.h>

namespace atelier::test {

v1::Job GetJob(Service& service, const std::string& job_id) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  return service.client().GetJob(request).value_or(v1::Job());
}

std::vector<v1::JobEvent> Watch(Service& service, const std::string& job_id) {
  std::vector<v1::JobEvent> events;
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  const absl::Status status = service.client().WatchJob(request, [&](const v1::JobEvent& event) {
    events.push_back(event);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status << service.process().Stderr();
  return events;
}

void AwaitCheckpoint(Service& service, const std::string& job_id) {
  bool seen = false;
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  service.client()
      .WatchJob(request,
                [&](const v1::JobEvent& event) {
                  seen = event.has_checkpoint();
                  return !seen;
                })
      .IgnoreError();
  EXPECT_TRUE(seen) << "no checkpoint before the end. " << service.process().Stderr();
}

}  // namespace atelier::test
