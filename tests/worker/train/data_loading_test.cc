// From files to batches: what is in a batch depends on neither threads, nor prefetching, nor the
// cache, and a file that breaks while a job runs is replaced and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/image_folder.h"
#include "worker/train/loader.h"
#include "worker/train/resampling.h"
#include "worker/train/side_threads.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kPictures = 6;
constexpr std::int64_t kLoadedSteps = 9;

class DataLoading : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kPictures; ++i) {
      WritePicture(Content(i), i);
      WritePicture(root() / "style" / ("s" + std::to_string(i) + ".png"), 50 + i);
    }
  }

  fs::path root() const { return directory_.path(); }
  fs::path Content(int i) const { return root() / "content" / (std::to_string(i) + ".png"); }

  ImageFolder Open(const char* set, std::uint64_t cache_bytes = 1 << 30, int threads = 0) const {
    return ImageFolder::Open({.directory = root() / set,
                              .name = set,
                              .short_side = 40,
                              .cache_bytes = cache_bytes,
                              .threads = threads})
        .value();
  }

  static TrainConfig Config() {
    TrainConfig config;
    config.family = "cyclegan";
    config.image_size = 32;
    config.batch_size = 2;
    config.accumulate = 2;
    config.augment.rotation = 10;
    config.seed = 3;
    return config;
  }

  static std::vector<Batch> Batches(const ImageFolder& content, const ImageFolder& style,
                                    const BatchLoader::Options& options) {
    BatchLoader loader(Config(), BatchKind::kUnpaired, content, &style, {}, options);
    std::vector<Batch> batches;
    for (std::int64_t step = 0; step < kLoadedSteps; ++step) {
      batches.push_back(loader.Get(step).value());
    }
    return batches;
  }

  static void ExpectEqual(const std::vector<Batch>& a, const std::vector<Batch>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(torch::equal(a[i].content, b[i].content)) << i;
      EXPECT_TRUE(torch::equal(a[i].target, b[i].target)) << i;
      EXPECT_TRUE(torch::equal(a[i].labels, b[i].labels)) << i;
      EXPECT_EQ(a[i].content_places, b[i].content_places) << i;
      EXPECT_EQ(a[i].target_places, b[i].target_places) << i;
      EXPECT_EQ(a[i].first_sample, b[i].first_sample) << i;
    }
  }

  test::TempDir directory_;
};

TEST_F(DataLoading, BatchesDependOnNeitherThreadsNorPrefetchNorCache) {
  const ImageFolder content = Open("content");
  const ImageFolder style = Open("style");
  const std::vector<Batch> one = Batches(content, style, {.threads = 1, .ahead = 1});
  EXPECT_EQ(one[0].content.sizes(), torch::IntArrayRef({4, 3, 32, 32}));
  ExpectEqual(one, Batches(content, style, {.threads = 5, .ahead = 7}));
  ExpectEqual(one, Batches(Open("content", 0, 3), Open("style", 0, 1), {.threads = 3, .ahead = 2}));
}

TEST_F(DataLoading, SeveralBatchesLieReadyBeforeTheyAreAskedFor) {
  const ImageFolder content = Open("content");
  const ImageFolder style = Open("style");
  BatchLoader loader(Config(), BatchKind::kUnpaired, content, &style, {}, {.ahead = 3});
  ASSERT_TRUE(loader.Get(0).ok());
  EXPECT_TRUE(test::WaitUntil([&] { return loader.ready() == 3; }));
  ASSERT_TRUE(loader.Get(1).ok());
  EXPECT_TRUE(test::WaitUntil([&] { return loader.ready() == 3; }));
}

TEST_F(DataLoading, LargeBatchesAreMadeOneAheadAndNoneBeyondTheLastStep) {
  const ImageFolder content = Open("content");
  const ImageFolder style = Open("style");
  TrainConfig config = Config();
  config.steps = 3;
  BatchLoader loader(config, BatchKind::kUnpaired, content, &style, {}, {.ahead_bytes = 1});
  for (std::int64_t step = 0; step < 2; ++step) {
    ASSERT_TRUE(loader.Get(step).ok());
    EXPECT_TRUE(test::WaitUntil([&] { return loader.ready() == 1; })) << step;
  }
  ASSERT_TRUE(loader.Get(2).ok());
  EXPECT_EQ(loader.ready(), 0);
}

TEST_F(DataLoading, AnotherStepThanTheNextOneStartsAnew) {
  const ImageFolder content = Open("content");
  const ImageFolder style = Open("style");
  const std::vector<Batch> batches = Batches(content, style, {});
  BatchLoader loader(Config(), BatchKind::kUnpaired, content, &style);
  for (const std::int64_t step : {4, 5, 1, 8}) {
    ExpectEqual({loader.Get(step).value()}, {batches[static_cast<std::size_t>(step)]});
  }
}

TEST_F(DataLoading, LooksNoFurtherAheadThanResamplingHasFixed) {
  const ImageFolder content = Open("content");
  TrainConfig config = Config();
  config.resample.window = 2;
  const auto places = [&](const BatchLoader::Options& options) {
    ScoreResampling resampling(config.seed, kPictures, {.window = config.resample.window});
    BatchLoader loader(config, BatchKind::kContent, content, nullptr, {.content = &resampling},
                       options);
    std::vector<std::vector<std::int64_t>> all;
    for (std::int64_t step = 0; step < kLoadedSteps; ++step) {
      const Batch batch = loader.Get(step).value();
      all.push_back(batch.content_places);
      resampling.Observe(batch.content_places, torch::arange(4, torch::kFloat32));
      resampling.EndStep(step);
    }
    return all;
  };
  EXPECT_EQ(places({.ahead = 8}), places({.ahead = 1}));
}

TEST_F(DataLoading, ADeletedFileIsNamedOnceAndReplacedAlikeByAnyNumberOfThreads) {
  const ImageFolder style = Open("style");
  const std::vector<Batch> intact = Batches(Open("content"), style, {});
  const ImageFolder first = Open("content", /*cache_bytes=*/0);
  const ImageFolder second = Open("content", /*cache_bytes=*/0);
  fs::remove(Content(2));
  std::ofstream(Content(4), std::ios::binary | std::ios::trunc) << "truncated";
  const std::vector<Batch> replaced = Batches(first, style, {.threads = 1, .ahead = 1});
  ExpectEqual(replaced, Batches(second, style, {.threads = 4}));
  int others = 0;
  for (std::size_t step = 0; step < replaced.size(); ++step) {
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t wanted = intact[step].content_places[i];
      const std::int64_t got = replaced[step].content_places[i];
      const bool broken = wanted == 2 || wanted == 4;
      others += broken ? 1 : 0;
      EXPECT_TRUE(got != 2 && got != 4);
      EXPECT_EQ(got == wanted, !broken);
      const auto picture = static_cast<std::int64_t>(i);
      EXPECT_EQ(torch::equal(intact[step].content[picture], replaced[step].content[picture]),
                !broken);
    }
  }
  EXPECT_EQ(others, 12) << "of six epochs";
  EXPECT_EQ(first.broken(), 2);
  EXPECT_THAT(first.TakeBroken(),
              testing::UnorderedElementsAre(HasSubstr("2.png"), HasSubstr("4.png")));
  EXPECT_THAT(first.TakeBroken(), IsEmpty());
}

TEST_F(DataLoading, ReplacementsAreDrawnFromTheWholeSet) {
  const ImageFolder content = Open("content", /*cache_bytes=*/0);
  fs::remove(Content(2));
  std::vector<int> drawn(kPictures);
  for (std::int64_t sample = 0; sample < 60; ++sample) {
    const auto loaded =
        content.LoadOrReplace(2, KeyedRandom(1, sample, 0, Purpose::kReplacement)).value();
    EXPECT_TRUE(torch::equal(loaded.pixels, content.Load(loaded.place).value()));
    ++drawn[static_cast<std::size_t>(loaded.place)];
  }
  EXPECT_EQ(drawn[2], 0);
  EXPECT_THAT(drawn, Not(Contains(60)));
  EXPECT_EQ(content.LoadOrReplace(1, KeyedRandom(1, 0, 0, Purpose::kReplacement))->place, 1);
}

TEST_F(DataLoading, ASetOfWhichMoreThanHalfIsBrokenIsGivenUp) {
  const ImageFolder style = Open("style");
  const ImageFolder content = Open("content", /*cache_bytes=*/0);
  for (int i = 0; i < 4; ++i) {
    fs::remove(Content(i));
  }
  BatchLoader loader(Config(), BatchKind::kUnpaired, content, &style);
  absl::Status status;
  for (std::int64_t step = 0; step < kLoadedSteps && status.ok(); ++step) {
    status = loader.Get(step).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("4 of the 6 pictures of the data set content"), HasSubstr(".png")));
  EXPECT_EQ(content.broken(), 4);
}

TEST_F(DataLoading, TheCacheHoldsWhatItMayAndTheRestIsReadAgain) {
  const std::uint64_t bytes = 40 * 40 * 3;
  const ImageFolder all = Open("content");
  const ImageFolder some = Open("content", 2 * bytes + 1);
  for (std::int64_t i = 0; i < kPictures; ++i) {
    EXPECT_TRUE(torch::equal(all.Load(i).value(), some.Load(i).value())) << i;
  }
  fs::remove_all(root() / "content");
  int kept = 0;
  for (std::int64_t i = 0; i < kPictures; ++i) {
    EXPECT_TRUE(all.Load(i).ok());
    kept += some.Load(i).ok() ? 1 : 0;
  }
  EXPECT_EQ(kept, 2);
}

TEST_F(DataLoading, TheDigestIsOfNamesAndContentsOfReadableFiles) {
  const std::string digest = Open("content", 0, 1).digest();
  EXPECT_EQ(digest.size(), 64);
  EXPECT_EQ(Open("content", 0, 5).digest(), digest);
  const ImageFolder subset = Open("content").Subset({1, 3});
  EXPECT_EQ(subset.digest(), digest);
  EXPECT_EQ(subset.digested(), kPictures);
  fs::last_write_time(Content(0), fs::file_time_type::clock::now() - std::chrono::hours(1));
  std::ofstream(root() / "content/broken.png") << "no picture";
  EXPECT_EQ(Open("content").digest(), digest);
  fs::rename(Content(5), root() / "content/6.png");
  const std::string renamed = Open("content").digest();
  EXPECT_NE(renamed, digest);
  fs::create_directories(root() / "content/sub");
  fs::rename(root() / "content/6.png", root() / "content/sub/6.png");
  EXPECT_NE(Open("content").digest(), renamed) << "a folder is a label";
  fs::rename(root() / "content/sub/6.png", Content(5));
  EXPECT_EQ(Open("content").digest(), digest);
  WritePicture(Content(5), 99);
  EXPECT_NE(Open("content").digest(), digest);
}

TEST_F(DataLoading, FilesThatAreBrokenFromTheBeginningAreLeftOutInTheOrderOfTheirNames) {
  std::ofstream(root() / "content/b.png") << "no";
  std::ofstream(root() / "content/a.jpg") << "no";
  const ImageFolder content = Open("content", 0, 4);
  EXPECT_EQ(content.size(), kPictures);
  EXPECT_THAT(content.skipped(), ElementsAre(HasSubstr("a.jpg: "), HasSubstr("b.png: ")));
}

TEST(SideThreadsTest, EveryCallIsMadeOnceAndTheFirstErrorEndsThem) {
  std::vector<int> calls(100);
  EXPECT_TRUE(OnSideThreads(3, 100, [&](std::int64_t i) {
                ++calls[static_cast<std::size_t>(i)];
                return absl::OkStatus();
              }).ok());
  EXPECT_THAT(calls, Each(1));
  EXPECT_TRUE(OnSideThreads(3, 0, [](std::int64_t) { return absl::InternalError("none"); }).ok());
  int made = 0;
  EXPECT_EQ(OnSideThreads(1, 100,
                          [&](std::int64_t i) {
                            ++made;
                            return i == 4 ? absl::DataLossError("fourth") : absl::OkStatus();
                          }),
            absl::DataLossError("fourth"));
  EXPECT_EQ(made, 5);
  EXPECT_TRUE(absl::IsResourceExhausted(
      OnSideThreads(2, 5, [](std::int64_t) -> absl::Status { throw std::bad_alloc(); })));
}

}  // namespace
}  // namespace atelier::train
