// Worker sessions between fake streams and the real rooms behind them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "prometheus/registry.h"
#include "server/dispatch/link/session_table.h"
#include "server/dispatch/link/worker_session.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server::testing {

class SessionTest : public ::testing::Test {
 protected:
  // A worker that has said hello.
  std::shared_ptr<WorkerSession> Connect(const internal::v1::WorkerMessage& hello = ServeHello()) {
    auto session = table_.Open(control_);
    session->OnMessage(WorkerSession::Stream::kControl, hello);
    return session;
  }
  // One that has both streams and has granted credit, too.
  std::shared_ptr<WorkerSession> Serving(std::uint32_t credit = 2) {
    auto session = Connect();
    EXPECT_TRUE(session->AttachBulk(bulk_, {}));
    session->OnMessage(WorkerSession::Stream::kControl, CreditOf(credit));
    return session;
  }

  test::FakeClock clock_;
  prometheus::Registry metrics_;
  QueueProbe queue_probe_{metrics_};
  WorkerProbe worker_probe_{metrics_, "here"};
  RequestQueue queue_{{}, clock_, queue_probe_};
  DispatchProbe dispatch_probe_{metrics_};
  Dispatcher dispatcher_{queue_, clock_, dispatch_probe_};
  FakeRegistry models_;
  ModelLoader loader_{models_};
  FakeJobs jobs_;
  FakeTrainers trainers_;
  FakeFreeTrainers free_trainers_;
  std::shared_ptr<FakeTransport> control_ = std::make_shared<FakeTransport>();
  std::shared_ptr<FakeTransport> bulk_ = std::make_shared<FakeTransport>();
  SessionTable table_{{.dispatcher = &dispatcher_,
                       .loader = &loader_,
                       .jobs = &jobs_,
                       .trainers = &trainers_,
                       .free_trainers = &free_trainers_,
                       .probe = &worker_probe_,
                       .clock = &clock_}};
};

}  // namespace atelier::server::testing
