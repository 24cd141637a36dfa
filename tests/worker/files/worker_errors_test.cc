#include "worker/files/worker_errors.h"

#include <gtest/gtest.h>

namespace atelier::worker {
namespace {

TEST(WorkerErrorsTest, SaysOnceWhoseErrorItIs) {
  const absl::Status told = OnWorker(OnWorker(absl::ResourceExhaustedError("the disk is full")));
  EXPECT_EQ(told, absl::ResourceExhaustedError("on the worker: the disk is full"));
  EXPECT_TRUE(IsOnWorker(told));
  EXPECT_FALSE(IsOnWorker(absl::ResourceExhaustedError("on the server: the disk is full")));
  EXPECT_TRUE(OnWorker(absl::OkStatus()).ok());
  EXPECT_FALSE(IsOnWorker(absl::OkStatus()));
}

TEST(WorkerErrorsTest, WhatIsMissingHereIsNotMissingOnTheServer) {
  EXPECT_EQ(OnWorker(absl::NotFoundError("no such file")),
            absl::InternalError("on the worker: no such file"));
}

}  // namespace
}  // namespace atelier::worker
