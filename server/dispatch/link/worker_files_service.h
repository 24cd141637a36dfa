// The calls by which workers that do not share the server's disk read its folders and change the
// folder of their attempt.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "atelier/internal/v1/worker_files.grpc.pb.h"
#include "common/clock.h"
#include "server/dispatch/files/digest_table.h"
#include "server/dispatch/link/session_table.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// Thread-safe. Each call has a thread of gRPC's while it lasts: it waits for the disk and for the
// other end. Whoever builds the server lets gRPC have kMaxThreads for them.
class WorkerFilesService final : public internal::v1::WorkerFiles::Service {
 public:
  // Calls at a time; more are UNAVAILABLE.
  static constexpr int kMaxCalls = 128;
  // Of one session, and how many of those may be ListFiles, which keep a folder in memory.
  static constexpr int kMaxSessionCalls = 12;
  static constexpr int kMaxSessionLists = 1;
  // The last of kMaxCalls are for sessions that have no call yet: those that fetch whole data sets
  // must not keep others from saving a checkpoint or loading a model.
  static constexpr int kReservedCalls = 32;
  // What gRPC needs for these and to refuse others.
  static constexpr int kMaxThreads = 2 * kMaxCalls;

  // All outlive the service. `jobs` says which leases are the present ones.
  WorkerFilesService(const SessionTable& sessions, const JobSink& jobs, const Clock& clock)
      : sessions_(sessions), jobs_(jobs), digests_(clock) {}

  grpc::Status ListFiles(grpc::ServerContext* context,
                         const internal::v1::ListFilesRequest* request,
                         grpc::ServerWriter<internal::v1::FileEntry>* writer) override;
  grpc::Status ReadFile(grpc::ServerContext* context, const internal::v1::ReadFileRequest* request,
                        grpc::ServerWriter<internal::v1::FileChunk>* writer) override;
  grpc::Status WriteFiles(grpc::ServerContext* context,
                          grpc::ServerReader<internal::v1::FileWrite>* reader,
                          internal::v1::WriteFilesReply* reply) override;

 private:
  struct Call {
    std::uint64_t session = 0;
    bool lists = false;
  };

  // Runs one call, if there is room for it.
  grpc::Status Run(grpc::ServerContext& context, absl::FunctionRef<absl::Status()> call)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts this call among those of its session, until Run ends it. UNAVAILABLE: there are enough.
  absl::Status Enter(grpc::ServerContext& context, const Call& call) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends calls that may wait for a worker whose session is over, which nobody else would.
  void CancelOrphans() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the worker still waits for this call and may have what it asks for.
  bool IsWanted(const grpc::ServerContext& context, std::uint64_t session,
                const std::string& folder, const LinkPeer& peer) const;
  absl::Status List(grpc::ServerContext& context, const internal::v1::ListFilesRequest& request,
                    grpc::ServerWriter<internal::v1::FileEntry>& writer);
  absl::Status Read(grpc::ServerContext& context, const internal::v1::ReadFileRequest& request,
                    grpc::ServerWriter<internal::v1::FileChunk>& writer);
  absl::Status Write(grpc::ServerContext& context,
                     grpc::ServerReader<internal::v1::FileWrite>& reader,
                     internal::v1::WriteFilesReply& reply);

  const SessionTable& sessions_;
  const JobSink& jobs_;
  DigestTable digests_;
  absl::Mutex mutex_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  // Those whose session is known.
  std::map<grpc::ServerContext*, Call> under_way_ ABSL_GUARDED_BY(mutex_);
  // Folders that a call changes.
  std::set<std::filesystem::path> writing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
