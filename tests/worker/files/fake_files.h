// The server's end of WorkerFiles, with folders in memory and faults at the test's will.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_files.grpc.pb.h"

namespace atelier::test {

// Thread-safe. Every session may read every folder and write "attempt".
class FakeFiles final : public internal::v1::WorkerFiles::Service {
 public:
  using Folder = std::map<std::string, std::string>;  // contents by path

  void Put(const std::string& folder, const std::string& path, const std::string& contents);
  void Remove(const std::string& folder, const std::string& path);
  Folder Get(const std::string& folder);

  // Lists this path too, as it is.
  void ListAlso(const std::string& folder, const std::string& path);
  // Sends the next reads of this path with other bytes than listed.
  void Damage(const std::string& path, int reads);
  // Ends the next reads behind that many bytes with UNAVAILABLE.
  void CutReadsAfter(std::uint64_t bytes, int reads);
  // Ends the next call of that kind with this, one after the other.
  void FailNextRead(const grpc::Status& status);
  void FailNextWrite(const grpc::Status& status);
  // Ends write calls with UNAVAILABLE, from the call of that number (the first is 1) on; 0: none.
  void FailWritesFrom(int call);
  // While held, reads wait inside.
  void HoldReads(bool hold);

  struct Reading {
    std::uint64_t session = 0;
    std::string path;
    std::uint64_t offset = 0;
  };
  std::vector<Reading> reads();  // that were begun, in order
  // What was changed, in order: "PATH", "PATH+SIZE" (appended), "-PATH" (removed).
  std::vector<std::string> changes();
  int writes();  // calls that were begun
  // The deadline that the newest one had.
  absl::Time write_deadline();
  int waiting();  // reads that are held now

  grpc::Status ListFiles(grpc::ServerContext* context,
                         const internal::v1::ListFilesRequest* request,
                         grpc::ServerWriter<internal::v1::FileEntry>* writer) override;
  grpc::Status ReadFile(grpc::ServerContext* context, const internal::v1::ReadFileRequest* request,
                        grpc::ServerWriter<internal::v1::FileChunk>* writer) override;
  grpc::Status WriteFiles(grpc::ServerContext* context,
                          grpc::ServerReader<internal::v1::FileWrite>* reader,
                          internal::v1::WriteFilesReply* reply) override;

 private:
  grpc::Status Complete(const internal::v1::FileHeader& header, const std::string& bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  std::map<std::string, Folder> folders_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::string>> listed_also_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> damaged_ ABSL_GUARDED_BY(mu_);
  std::uint64_t cut_after_ ABSL_GUARDED_BY(mu_) = 0;
  int cuts_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<grpc::Status> read_failures_ ABSL_GUARDED_BY(mu_);
  std::deque<grpc::Status> write_failures_ ABSL_GUARDED_BY(mu_);
  int fail_writes_from_ ABSL_GUARDED_BY(mu_) = 0;
  bool hold_reads_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Reading> reads_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> changes_ ABSL_GUARDED_BY(mu_);
  int writes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time write_deadline_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::test
