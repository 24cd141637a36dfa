#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/worker/link/puppet_server.h"
#include "tests/worker/serve/fake_stylizer.h"
#include "worker/serve/serve_role.h"

namespace atelier::test {

inline constexpr std::uint32_t kSlots = 4;

// A serving worker with fake models and the puppet server that it serves for.
class ServeRoleTest : public ::testing::Test {
 protected:
  explicit ServeRoleTest(PuppetServer::Options server = {}) : server_(std::move(server)) {}

  // The server has credit from here on.
  void SetUp() override {
    Start();
    EXPECT_EQ(AwaitCredit(), kSlots);
  }

  void TearDown() override {
    models_.HoldCompute(false);
    models_.HoldLoads(false);
    role_->Shutdown();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  void Start() {
    worker::ServeRole::Options options;
    options.address = server_.address();
    options.name = "serve-cpu";
    options.slots = kSlots;
    options.backoff_min = absl::Milliseconds(5);
    options.backoff_max = absl::Milliseconds(50);
    role_ = std::make_unique<worker::ServeRole>(options, *pipeline_);
    thread_ = std::thread([this] { exit_code_ = role_->Run(); });
  }

  int Join() {
    thread_.join();
    return exit_code_;
  }

  internal::v1::ServerMessage Task(std::uint64_t id, int side = 32) {
    internal::v1::ServerMessage message;
    internal::v1::StylizeTask* task = message.mutable_stylize_task();
    task->set_task_id(id);
    task->mutable_model()->set_name("m");
    task->mutable_model()->set_version(1);
    task->mutable_model()->set_directory("/m/1");
    task->set_image(EncodedPicture(ImageFormat::kPng, side, side));
    task->set_deadline_ms(60'000);
    task->set_strength(1);
    task->set_quality(95);
    return message;
  }

  internal::v1::StylizeResult AwaitResult() {
    const auto received = server_.Await(PuppetServer::Message::kStylizeResult);
    EXPECT_TRUE(received.has_value());
    return received.has_value() ? received->message.stylize_result()
                                : internal::v1::StylizeResult();
  }

  std::uint32_t AwaitCredit() {
    const auto received = server_.Await(PuppetServer::Message::kCredit);
    return received.has_value() ? received->message.credit().tasks() : 0;
  }

  PuppetServer server_;
  FakeModels models_;
  std::unique_ptr<worker::Pipeline> pipeline_ = models_.MakePipeline(SystemClock());
  std::unique_ptr<worker::ServeRole> role_;
  std::thread thread_;
  int exit_code_ = -1;
};

}  // namespace atelier::test
