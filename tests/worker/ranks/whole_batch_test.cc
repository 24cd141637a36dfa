// What ranks draw, load and gather is what one rank would.
#include "worker/train/whole_batch.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "tests/worker/ranks/rank_threads.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/loader.h"

namespace atelier::train {
namespace {

// Batches of 4 from sample 40 on, two of them, as two ranks have them.
SampleRange PartOf(int rank) {
  return {.first = 40 + 2 * rank, .count = 4, .block = 2, .stride = 4};
}

TEST(WholeBatchTest, PartsKnowTheirSamplesAndTheWhole) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < 4; ++i) {
    samples.push_back(PartOf(1).At(i));
  }
  EXPECT_EQ(samples, (std::vector<std::int64_t>{42, 43, 46, 47}));
  for (const int rank : {0, 1}) {
    const SampleRange whole = WholeSamples(PartOf(rank), rank);
    EXPECT_EQ(whole.first, 40);
    EXPECT_EQ(whole.count, 8);
    EXPECT_EQ(whole.block, 0);
  }
}

TEST(WholeBatchTest, PicturesGatherInTheOrderOfTheWholeAlsoASecondTimeRound) {
  ranks::OnRanks(2, [](ranks::RankGroup& group) {
    const SampleRange samples = PartOf(group.rank());
    std::vector<float> numbers;
    for (int round = 0; round < 2; ++round) {
      for (std::int64_t i = 0; i < samples.count; ++i) {
        numbers.push_back(static_cast<float>(1000 * round + samples.At(i)));
      }
    }
    const torch::Tensor part = torch::tensor(numbers).view({-1, 1});
    const torch::Tensor whole = GatherWhole(group, samples, part);
    const torch::Tensor expected =
        torch::cat({torch::arange(40, 48), torch::arange(1040, 1048)}).to(torch::kFloat);
    EXPECT_TRUE(torch::equal(whole.flatten(), expected));
    EXPECT_TRUE(torch::equal(PartOfWhole(group, samples, whole), part));
  });
}

class RankLoading : public Watched {};

TEST_F(RankLoading, RanksLoadThePicturesOfOneRanksBatches) {
  TrainConfig config = Small("cyclegan");
  config.batch_size = 4;
  config.accumulate = 2;
  const ImageFolder content =
      ImageFolder::Open({.directory = root() / "content", .short_side = 80}).value();
  const ImageFolder style =
      ImageFolder::Open({.directory = root() / "style", .short_side = 80}).value();
  const auto load = [&](int rank, int ranks) {
    BatchLoader loader(config, BatchKind::kUnpaired, content, &style, {},
                       {.rank = rank, .ranks = ranks});
    return loader.Get(3).value();
  };
  const Batch whole = load(0, 1);
  for (const int rank : {0, 1}) {
    const Batch part = load(rank, 2);
    ASSERT_EQ(part.content.size(0), 4);
    for (std::int64_t i = 0; i < 4; ++i) {
      const std::int64_t place = part.samples().At(i) - whole.first_sample;
      EXPECT_EQ(place / 4, i / 2) << "a part of each of the two batches";
      EXPECT_TRUE(torch::equal(part.content[i], whole.content[place])) << rank << ' ' << i;
      EXPECT_TRUE(torch::equal(part.target[i], whole.target[place])) << rank << ' ' << i;
    }
    const Batch second = Narrow(part, 2, 2);
    EXPECT_EQ(second.first_sample, whole.first_sample + 4 + 2 * rank);
  }
}

}  // namespace
}  // namespace atelier::train
