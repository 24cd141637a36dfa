// The serving worker: keeps a session with the server, hands its tasks to the pipeline and sends
// the results back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/link/session.h"
#include "worker/serve/pipeline.h"

namespace atelier::worker {

class ModelFetcher;
class ServeConnection;

// Thread-safe.
class ServeRole {
 public:
  struct Options {
    std::string address;  // "unix:PATH" or "HOST:PORT"
    LinkTls tls;
    // By which the pipeline loads models of a server whose disk this worker does not share
    // (FetchingFirst); it outlives the role. Null: it shares the disk.
    ModelFetcher* models = nullptr;
    std::string name;
    std::string device = "cpu";
    // Tasks it holds at a time: one for each stage that works, and one on its way. A model that is
    // computed in batches raises it to what fills them, as long as the session lasts.
    std::uint32_t slots = 4;
    // A broken session is opened anew after the first, and after further failures after doubled
    // delays up to the second.
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(5);
    // How long a drain may take; tasks still unfinished then are lost (the server gives them to
    // another worker).
    absl::Duration drain_timeout = absl::Seconds(60);
  };

  // The pipeline must outlive the role.
  ServeRole(Options options, Pipeline& pipeline);
  ~ServeRole();

  // Serves until the server sends Drain or Shutdown is called, and finishes what it holds. Returns
  // the process's exit code: 0, or 1 when the drain ran into its timeout.
  int Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Takes nothing more; Run returns once the tasks at hand are answered. From any thread, any
  // number of times.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // The fetcher asks for files under this session from now on.
  void FetchFor(const ServeConnection& connection);

  const Options options_;
  Pipeline& pipeline_;

  absl::Mutex mu_;
  bool shutdown_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<ServeConnection> connection_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
