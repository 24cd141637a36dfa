#include "common/metrics/metrics_endpoint.h"

#include <httplib.h>

#include <exception>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "prometheus/text_serializer.h"

namespace atelier {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";
// The Prometheus text format's own version, by which scrapers choose their parser.
constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr int kThreads = 4;
// Connections that wait for a thread; more wait in the system, which takes few.
constexpr int kMaxQueued = 64;

// The library's threads with a bound: while so many connections wait none is accepted, or whoever
// opens many could take all of the process' descriptors.
class BoundedPool final : public httplib::TaskQueue {
 public:
  // Called by the one thread that accepts.
  void enqueue(std::function<void()> serve) override {
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(+[](int* queued) { return *queued < kMaxQueued; }, &queued_));
      ++queued_;
    }
    threads_.enqueue([this, serve = std::move(serve)] {
      {
        const absl::MutexLock lock(&mutex_);
        --queued_;
      }
      serve();
    });
  }
  // Those that wait are closed unserved: by then the server has stopped.
  void shutdown() override { threads_.shutdown(); }

 private:
  httplib::ThreadPool threads_{kThreads};
  absl::Mutex mutex_;
  int queued_ ABSL_GUARDED_BY(mutex_) = 0;
};

void AnswerProbe(bool good, const char* yes, const char* no, httplib::Response& response) {
  response.status = good ? 200 : 503;
  response.set_content(good ? yes : no, kPlainText);
}

class HttplibEndpoint final : public MetricsEndpoint {
 public:
  explicit HttplibEndpoint(Options options) : options_(std::move(options)) {
    server_.new_task_queue = [] { return new BoundedPool(); };
    // One request a connection, short timeouts: an idle or slow client cannot hold the few threads
    // for long.
    server_.set_keep_alive_max_count(1);
    server_.set_keep_alive_timeout(2);
    server_.set_read_timeout(2);
    server_.set_write_timeout(5);
    server_.set_payload_max_length(1024);
    // The library's default adds SO_REUSEPORT, with which a second server would silently share the
    // port.
    server_.set_socket_options([](int socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    // The library's default puts the exception's text into a header.
    server_.set_exception_handler([](const httplib::Request&, httplib::Response& response,
                                     const std::exception_ptr&) { response.status = 500; });
    AddHandlers();
  }

  ~HttplibEndpoint() override {
    if (thread_.joinable()) {
      server_.stop();
      thread_.join();
    }
  }

  absl::Status Start() {
    ATELIER_ASSIGN_OR_RETURN(address_, ParseHostPort("metrics-listen", options_.listen));
    const int port = address_.port != 0
                         ? (server_.bind_to_port(address_.host, address_.port) ? address_.port : -1)
                         : server_.bind_to_any_port(address_.host);
    if (port <= 0) {
      return absl::UnavailableError("cannot listen on " + options_.listen +
                                    " for metrics; another program may be using the port");
    }
    address_.port = static_cast<std::uint16_t>(port);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // stop() has no effect before the loop runs.
    while (!server_.is_running()) {
      std::this_thread::yield();
    }
    return absl::OkStatus();
  }

  const HostPort& address() const override { return address_; }

 private:
  void AddHandlers() {
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(prometheus::TextSerializer().Serialize(options_.registry->Collect()),
                           kMetricsText);
    });
    server_.Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
      AnswerProbe(options_.live(), "ok\n", "not live\n", response);
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      AnswerProbe(options_.ready(), "ready\n", "not ready\n", response);
    });
  }

  const Options options_;
  HostPort address_;
  httplib::Server server_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Create(Options options) {
  ATELIER_CHECK(options.registry != nullptr);
  auto endpoint = std::make_unique<HttplibEndpoint>(std::move(options));
  ATELIER_RETURN_IF_ERROR(endpoint->Start());
  return endpoint;
}

}  // namespace atelier
