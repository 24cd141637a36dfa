// atelier.v1.AdminService.
#pragma once

#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "atelier/v1/admin.grpc.pb.h"
#include "server/rpc/bounded_service.h"

namespace atelier::server {

// Who reads the configuration again. Thread-safe; may block for as long as a few files take.
class ConfigReloader {
 public:
  virtual ~ConfigReloader() = default;
  // All or nothing; the errors of ReloadConfig, free of folders.
  virtual absl::StatusOr<v1::ReloadConfigResponse> Reload() = 0;
};

// Thread-safe. Files are read by a thread of its own; calls that come meanwhile share the next
// reading.
class AdminService final : public BoundedService<v1::AdminService> {
 public:
  // `reloader` outlives the service.
  explicit AdminService(ConfigReloader& reloader);
  // No call may be under way: the server has been shut down.
  ~AdminService() override;

  grpc::ServerUnaryReactor* ReloadConfig(grpc::CallbackServerContext* context,
                                         const v1::ReloadConfigRequest* request,
                                         v1::ReloadConfigResponse* response) override;

 private:
  struct Call {
    grpc::ServerUnaryReactor* reactor;
    v1::ReloadConfigResponse* response;
  };

  void Work() ABSL_LOCKS_EXCLUDED(mutex_);

  ConfigReloader& reloader_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<Call> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread worker_;
};

}  // namespace atelier::server
