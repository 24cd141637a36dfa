// The calls of WorkerFiles: how a worker reads and writes the server's folders.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_files.grpc.pb.h"
#include "worker/link/channel.h"

namespace atelier::worker {

// The most that one message of a file holds. Unit: bytes.
inline constexpr std::size_t kFileChunkBytes = 1U << 20U;

struct RemoteFile {
  std::string path;  // as CheckConfinedPath wants it
  std::uint64_t size = 0;
  std::string sha256;
};

// What goes to the server, in order. Used within FilesClient::Write.
class FileSink {
 public:
  virtual ~FileSink() = default;
  // All false when the call has ended; its status tells why.
  virtual bool Begin(const internal::v1::FileHeader& header) = 0;
  virtual bool Data(std::string_view bytes) = 0;  // at most kFileChunkBytes
  virtual bool Remove(const std::string& path) = 0;
};

// Thread-safe. Calls block, and have deadlines by what they carry. CANCELLED: Cancel was called;
// UNAVAILABLE: the server cannot be reached, or is too busy; else what the contract says.
class FilesClient {
 public:
  // Over a connection of its own; does not connect yet. `credentials`: those that the session was
  // opened with, for the server lets only their certificate read.
  static std::unique_ptr<FilesClient> Dial(
      const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      std::uint64_t session);

  // `session`: of the worker's Welcome.
  FilesClient(std::shared_ptr<grpc::Channel> channel, std::uint64_t session);

  // INVALID_ARGUMENT: a path or a digest that is none; RESOURCE_EXHAUSTED: too many files.
  absl::StatusOr<std::vector<RemoteFile>> List(const std::string& folder);

  // Hands the file from `offset` on to `sink`, piece by piece, until it ends or `sink` returns an
  // error, which is then the call's. `bytes` is how many are expected, for the deadline.
  absl::Status Read(const std::string& folder, const std::string& path, std::uint64_t offset,
                    std::uint64_t bytes, const std::function<absl::Status(std::string_view)>& sink);

  // One WriteFiles call; `body` says what goes in: about so many files and bytes, for the deadline.
  // An error of `body` cuts the call and is
  // returned; it returns OK also when the sink said false.
  absl::Status Write(const std::string& folder, std::size_t files, std::uint64_t bytes,
                     const std::function<absl::Status(FileSink&)>& body);

  // Ends the calls that run, and all later ones at once. From any thread, any number of times.
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  bool cancelled() const ABSL_LOCKS_EXCLUDED(mu_);
  // False when Cancel was called before the time had passed.
  bool Pause(absl::Duration time) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Call;

  const std::unique_ptr<internal::v1::WorkerFiles::Stub> stub_;
  const std::uint64_t session_;

  mutable absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
