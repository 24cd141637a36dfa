#include "client/cli/output.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "client/cli/progress_bar.h"
#include "client/cli/sparkline.h"

namespace atelier::cli {
namespace {

TEST(OutputTest, ValuesReadLikePeopleWriteThem) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(4ull << 30), "4.0 GiB");
  EXPECT_EQ(DurationText(absl::Milliseconds(400)), "0 s");
  EXPECT_EQ(DurationText(absl::Seconds(12)), "12 s");
  EXPECT_EQ(DurationText(absl::Seconds(245)), "4 min 05 s");
  EXPECT_EQ(DurationText(absl::Seconds(3720)), "1 h 02 min");
  EXPECT_EQ(StateText(v1::JOB_STATE_CANCELLING), "CANCELLING");
  EXPECT_EQ(PrecisionText(v1::PRECISION_BF16), "bf16");
  EXPECT_EQ(FormatText(v1::IMAGE_FORMAT_WEBP), "webp");
  EXPECT_EQ(FormatOf("JPG"), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(FormatOf("bmp"), std::nullopt);
}

TEST(OutputTest, TableColumnsLineUp) {
  std::ostringstream out;
  PrintTable(out, {"NAME", "N"}, {{"van-gogh", "1"}, {"oil", "12"}});
  EXPECT_EQ(out.str(), "NAME      N\nvan-gogh  1\noil       12\n");
}

TEST(OutputTest, EntriesWithoutValueAreLeftOut) {
  std::ostringstream out;
  PrintEntries(out, {{"job", "oil-1"}, {"reason", ""}, {"attempts", "1"}});
  EXPECT_EQ(out.str(), "job:       oil-1\nattempts:  1\n");
}

TEST(ProgressBarTest, DrawsNothingWithoutATerminal) {
  std::ostringstream out;
  {
    ProgressBar bar(out, /*is_terminal=*/false);
    bar.Draw(0.5, "half");
  }
  EXPECT_EQ(out.str(), "");
}

TEST(ProgressBarTest, StaysOnOneLineAndLeavesItClean) {
  std::ostringstream out;
  {
    ProgressBar bar(out, /*is_terminal=*/true, /*width=*/40);
    bar.Draw(0.5, "step 5/10  a text that is much too long for this terminal");
  }
  const std::string drawn = "\r\x1b[K[############------------] 50%  step 5/10";
  EXPECT_EQ(out.str(), drawn.substr(0, 4 + 39) + "\r\x1b[K");
}

TEST(ProgressBarTest, HasLinesBelowThatGoWithIt) {
  std::ostringstream out;
  {
    ProgressBar bar(out, /*is_terminal=*/true, /*width=*/40);
    bar.Draw(1, "a", {"total ▁▂▃ 1.5", std::string(60, 'x')});
    bar.Draw(1, "b");
  }
  const std::string erase = "\r\x1b[K";
  const std::string up = "\x1b[A";
  const std::string bar = "[########################] 100%  ";
  EXPECT_EQ(out.str(), erase + bar + "a\ntotal ▁▂▃ 1.5\n" + std::string(39, 'x') +  //
                           erase + up + erase + up + erase +                        //
                           erase + bar + "b" + erase);
}

TEST(ProgressBarTest, CutsBetweenCharacters) {
  std::ostringstream out;
  ProgressBar bar(out, /*is_terminal=*/true, /*width=*/36);
  bar.Draw(0, "▁▂▃▄▅▆▇█");
  EXPECT_EQ(out.str(), "\r\x1b[K[------------------------] 0%  ▁▂▃▄");
}

TEST(SparklineTest, DrawsFromTheLowestToTheHighest) {
  Sparkline spark(4);
  EXPECT_EQ(spark.Text(), "");
  for (const double value : {7.0, 0.0, 3.0}) {
    spark.Add(value);
  }
  EXPECT_EQ(spark.Text(), "█▁▄");
}

TEST(SparklineTest, ShowsTheWholeCurveInItsCells) {
  Sparkline spark(8);
  for (int i = 0; i < 1000; ++i) {
    spark.Add(-i);
  }
  EXPECT_EQ(spark.Text(), "█▇▆▅▄▃▂▁");
}

TEST(SparklineTest, ACurveThatStandsStillIsLevelAndNonsenseIsLeftOut) {
  Sparkline spark(4);
  spark.Add(2);
  spark.Add(std::numeric_limits<double>::quiet_NaN());
  spark.Add(2);
  EXPECT_EQ(spark.Text(), "▅▅");
}

}  // namespace
}  // namespace atelier::cli
