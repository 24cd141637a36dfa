#include "worker/train/data_wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace atelier::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What is told in `steps` steps of 100 ms with `waited` each.
std::vector<std::string> Told(DataWaitAlarm& alarm, int steps, absl::Duration waited) {
  std::vector<std::string> told;
  for (int i = 0; i < steps; ++i) {
    if (auto sentence = alarm.Report(waited, absl::Milliseconds(100)); sentence.has_value()) {
      told.push_back(*sentence);
    }
  }
  return told;
}

TEST(DataWaitAlarmTest, TellsTheShareOnce) {
  DataWaitAlarm alarm;
  EXPECT_THAT(Told(alarm, 1000, absl::Milliseconds(45)),
              ElementsAre(AllOf(HasSubstr("slow data: 45 %"), HasSubstr("image_size"))));
}

TEST(DataWaitAlarmTest, IsSilentBelowItsShare) {
  DataWaitAlarm alarm;
  EXPECT_THAT(Told(alarm, 1000, absl::Milliseconds(29)), IsEmpty());
}

TEST(DataWaitAlarmTest, TheFirstStepsDoNotCount) {
  DataWaitAlarm alarm;
  EXPECT_THAT(Told(alarm, 5, absl::Milliseconds(100)), IsEmpty());
  EXPECT_THAT(Told(alarm, 100, absl::Milliseconds(0)), IsEmpty());
}

TEST(DataWaitAlarmTest, LooksAtAWindowAndNotAtAStep) {
  DataWaitAlarm alarm;
  EXPECT_THAT(Told(alarm, 5 + 15, absl::Milliseconds(0)), IsEmpty());
  EXPECT_THAT(Told(alarm, 5, absl::Milliseconds(100)), IsEmpty()) << "5 of 20";
  EXPECT_THAT(Told(alarm, 13, absl::Milliseconds(0)), IsEmpty());
  EXPECT_EQ(Told(alarm, 7, absl::Milliseconds(100)).size(), 1u) << "7 of 20";
}

TEST(DataWaitAlarmTest, QuickStepsFillAWindowByTime) {
  DataWaitAlarm alarm({.skip_steps = 0});
  int reports = 0;
  while (!alarm.Report(absl::Milliseconds(5), absl::Milliseconds(10)).has_value()) {
    ASSERT_LT(++reports, 1000);
  }
  EXPECT_EQ(reports, 199) << "2 s of steps of 10 ms";
}

}  // namespace
}  // namespace atelier::train
