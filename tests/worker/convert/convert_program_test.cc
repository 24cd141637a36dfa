// The process that converts: it limits itself and leaves what became of its task.
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/convert_task.h"
#include "common/files.h"
#include "tests/support/process.h"
#include "tests/worker/convert/convert_fixture.h"

namespace atelier::convert {
namespace {

class ConvertProgramTest : public ConvertTest {
 protected:
  std::optional<absl::Status> Run(const std::string& bytes, std::uint64_t memory_bytes,
                                  std::uint64_t file_bytes = kMaxFileBytes) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / kConvertInput, bytes).ok());
    EXPECT_TRUE(WriteConvertTask(folder_.path(), {.memory_bytes = memory_bytes,
                                                  .file_bytes = file_bytes,
                                                  .work = ImportTask{.sha256 = Sha256Hex(bytes)}})
                    .ok());
    result_ = test::RunProcess(
        {.command = {Worker(), "--role", "convert", "--task", folder_.path().string()}});
    return ReadConvertOutcome(folder_.path());
  }

  static std::string Worker() { return std::string(ATELIER_BINARY_DIR) + "/bin/atelier-worker"; }

  test::ProcessResult result_;
};

TEST_F(ConvertProgramTest, LeavesAModelAndItsOutcome) {
  EXPECT_EQ(Run(Pth(Weights(Resnet())), 4ULL << 30U), absl::OkStatus()) << result_.err;
  EXPECT_EQ(result_.exit_code, 0);
  EXPECT_EQ(Spec().family, "cyclegan");
}

TEST_F(ConvertProgramTest, RefusesAndSaysWhy) {
  const auto outcome = Run("weights, honestly", 4ULL << 30U);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_TRUE(absl::IsInvalidArgument(*outcome));
  EXPECT_EQ(result_.exit_code, 1);
  // What is damaged in an upload that arrived whole is its sender's.
  const std::string pth = Pth(Weights(Resnet()));
  EXPECT_TRUE(absl::IsInvalidArgument(*Run(pth.substr(0, pth.size() / 2), 4ULL << 30U)));
}

TEST_F(ConvertProgramTest, TakesNoMoreMemoryThanItMay) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer reserves more than any limit";
#endif
  // 40 GB.
  const auto outcome = Run(Program("    return x + torch.zeros([10000000000]).sum()"), 2ULL << 30U);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_TRUE(absl::IsInvalidArgument(*outcome) || absl::IsResourceExhausted(*outcome)) << *outcome;
}

TEST_F(ConvertProgramTest, WritesNoLargerFileThanItMay) {
  const auto outcome = Run(Pth(Weights(Resnet())), 4ULL << 30U, /*file_bytes=*/10'000);
  ASSERT_TRUE(outcome.has_value()) << result_.err;
  EXPECT_FALSE(outcome->ok());
}

TEST_F(ConvertProgramTest, WithoutATaskItFails) {
  result_ = test::RunProcess(
      {.command = {Worker(), "--role", "convert", "--task", folder_.path().string()}});
  EXPECT_EQ(result_.exit_code, 1);
  EXPECT_FALSE(ReadConvertOutcome(folder_.path()).has_value());
}

}  // namespace
}  // namespace atelier::convert
