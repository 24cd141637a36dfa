#include "server/rpc/admin_service.h"

#include <utility>

#include "common/rpc/grpc_status.h"

namespace atelier::server {

AdminService::AdminService(ConfigReloader& reloader)
    : reloader_(reloader), worker_([this] { Work(); }) {
  Bound(this, &AdminService::ReloadConfig);
}

AdminService::~AdminService() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  worker_.join();
}

grpc::ServerUnaryReactor* AdminService::ReloadConfig(grpc::CallbackServerContext* context,
                                                     const v1::ReloadConfigRequest* /*request*/,
                                                     v1::ReloadConfigResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::MutexLock lock(&mutex_);
  waiting_.push_back({reactor, response});
  changed_.SignalAll();
  return reactor;
}

void AdminService::Work() {
  while (true) {
    std::vector<Call> calls;
    {
      const absl::MutexLock lock(&mutex_);
      while (waiting_.empty() && !stopping_) {
        changed_.Wait(&mutex_);
      }
      if (waiting_.empty()) {
        return;
      }
      calls = std::exchange(waiting_, {});
    }
    const absl::StatusOr<v1::ReloadConfigResponse> reply = reloader_.Reload();
    for (const Call& call : calls) {
      if (reply.ok()) {
        *call.response = *reply;
      }
      call.reactor->Finish(ToGrpcStatus(reply.status()));
    }
  }
}

}  // namespace atelier::server
