// A real model that comes and goes many times.
#include <gtest/gtest.h>

#include <string>

#include "absl/synchronization/notification.h"
#include "common/process_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/random_model.h"
#include "worker/serve/pipeline.h"

namespace atelier::worker {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

class ModelReloadTest : public ::testing::Test {
 protected:
  void Cycle(int times) {
    for (int i = 0; i < times; ++i) {
      absl::Notification loaded;
      pipeline_->Load(source_, {64}, static_cast<std::uint64_t>(i) + 1, [&] { loaded.Notify(); });
      loaded.WaitForNotification();
      ASSERT_EQ(pipeline_->figures().models, 1);
      pipeline_->Unload(source_);
    }
    ASSERT_TRUE(test::WaitUntil([&] { return pipeline_->figures().models == 0; }));
  }

  test::TempDir directory_;
  ModelSource source_ = {.name = "random",
                         .version = 1,
                         .directory = directory_.path().string(),
                         .weights_sha256 = test::WriteRandomModel(directory_.path(), 1)};
  std::unique_ptr<Pipeline> pipeline_ = Pipeline::Create(Pipeline::Options(), "cpu", kMiB << 10U,
                                                         /*feature_weights=*/{});
};

TEST_F(ModelReloadTest, MemoryReturnsAfterManyLoads) {
  Cycle(10);  // what is made once and kept: oneDNN's kernels, the pools of threads
  const std::uint64_t before = ResidentBytes();
  Cycle(100);
  // The weights are freed behind the last answer.
  std::uint64_t after = 0;
  EXPECT_TRUE(test::WaitUntil([&] {
    after = ResidentBytes();
    return after < before + 4 * kMiB;
  })) << before / kMiB
      << " MiB before, " << after / kMiB << " after";
}

}  // namespace
}  // namespace atelier::worker
