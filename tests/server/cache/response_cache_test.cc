#include "server/cache/response_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "prometheus/text_serializer.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;
using testing::SampleOutcome;
using testing::SampleWork;

// Kept answers cost their picture, the one that they are of, and at most this.
constexpr std::uint64_t kOverhead = 4096;

// A work of its own, with a picture of 100 bytes.
StylizeWork WorkOf(const std::string& name) {
  StylizeWork work = SampleWork();
  work.image.replace(0, name.size(), name);
  return work;
}

class ResponseCacheTest : public ::testing::Test {
 protected:
  // By fingerprints that differ where names do.
  static std::uint64_t FingerprintOf(const std::string& name) {
    return std::hash<std::string>()(name);
  }
  void Keep(const std::string& name, const StylizeOutcome& outcome) {
    cache_.Keep(FingerprintOf(name), std::make_shared<const Work>(WorkOf(name)), outcome);
  }
  std::optional<StylizeOutcome> Find(const std::string& name) {
    return cache_.Find(FingerprintOf(name), WorkOf(name));
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  ResponseCache cache_{registry_};
};

TEST_F(ResponseCacheTest, IsOffUntilItIsGivenMemory) {
  EXPECT_FALSE(cache_.enabled());
  Keep("a", SampleOutcome());
  EXPECT_EQ(cache_.bytes(), 0U);
  cache_.SetMaxBytes(1 << 20);
  EXPECT_TRUE(cache_.enabled());
  EXPECT_FALSE(Find("a").has_value());
}

TEST_F(ResponseCacheTest, GivesBackWhatWasKept) {
  cache_.SetMaxBytes(1 << 20);
  StylizeOutcome outcome = SampleOutcome("picture");
  outcome.format = ImageFormat::kWebp;
  outcome.warnings = {"a warning"};
  outcome.compute_s = 0.5;
  Keep("a", outcome);
  const auto found = Find("a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->image, "picture");
  EXPECT_EQ(found->format, ImageFormat::kWebp);
  EXPECT_EQ(found->width, 64U);
  EXPECT_EQ(found->warnings, outcome.warnings);
  EXPECT_EQ(found->compute_s, 0.5);
  EXPECT_FALSE(Find("b").has_value());
}

TEST_F(ResponseCacheTest, HitsMissesAndBytesAreFigures) {
  cache_.SetMaxBytes(1 << 20);
  Keep("a", SampleOutcome());
  Find("a");
  Find("a");
  Find("b");
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_hits_total 2"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_misses_total 1"));
  EXPECT_THAT(Metrics(),
              HasSubstr("atelier_response_cache_bytes " + std::to_string(cache_.bytes())));
}

TEST_F(ResponseCacheTest, TheLeastRecentlyUsedGoesFirst) {
  cache_.SetMaxBytes(2 * (10'000 + kOverhead));
  const StylizeOutcome outcome = SampleOutcome(std::string(10'000, 'x'));
  Keep("a", outcome);
  Keep("b", outcome);
  EXPECT_TRUE(Find("a").has_value());
  Keep("c", outcome);
  EXPECT_TRUE(Find("a").has_value());
  EXPECT_FALSE(Find("b").has_value());
  EXPECT_TRUE(Find("c").has_value());
  EXPECT_LE(cache_.bytes(), 2 * (10'000 + kOverhead));
}

TEST_F(ResponseCacheTest, AnAnswerLargerThanTheCacheIsNotKept) {
  cache_.SetMaxBytes(10'000);
  Keep("small", SampleOutcome(std::string(1000, 'x')));
  Keep("large", SampleOutcome(std::string(10'000, 'x')));
  EXPECT_TRUE(Find("small").has_value());
  EXPECT_FALSE(Find("large").has_value());
}

TEST_F(ResponseCacheTest, TheSameKeyIsKeptOnce) {
  cache_.SetMaxBytes(1 << 20);
  Keep("a", SampleOutcome("one"));
  const std::uint64_t once = cache_.bytes();
  Keep("a", SampleOutcome("two"));
  EXPECT_EQ(cache_.bytes(), once);
  EXPECT_EQ(Find("a")->image, "two");
}

TEST_F(ResponseCacheTest, LessMemoryHoldsAtOnce) {
  cache_.SetMaxBytes(1 << 20);
  for (const char* key : {"a", "b", "c"}) {
    Keep(key, SampleOutcome(std::string(1000, 'x')));
  }
  cache_.SetMaxBytes(1000 + kOverhead);
  EXPECT_LE(cache_.bytes(), 1000 + kOverhead);
  EXPECT_TRUE(Find("c").has_value());
  cache_.SetMaxBytes(0);
  EXPECT_EQ(cache_.bytes(), 0U);
  EXPECT_FALSE(cache_.enabled());
}

TEST_F(ResponseCacheTest, ManyThreadsUseItAtOnce) {
  constexpr std::uint64_t kLimit = 60'000;
  cache_.SetMaxBytes(kLimit);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string key = std::to_string((t + i) % 40);
        if (const auto found = Find(key); found.has_value()) {
          EXPECT_EQ(found->image, std::string(500, key.front()));
        }
        Keep(key, SampleOutcome(std::string(500, key.front())));
        if (i % 100 == 0) {
          cache_.SetMaxBytes(i % 200 == 0 ? kLimit / 2 : kLimit);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_LE(cache_.bytes(), kLimit);
}

TEST_F(ResponseCacheTest, NobodyIsGivenAnAnswerToAnotherPictureOfTheSameFingerprint) {
  cache_.SetMaxBytes(1 << 20);
  const auto kept = std::make_shared<const Work>(WorkOf("one"));
  cache_.Keep(7, kept, SampleOutcome("of one"));
  EXPECT_FALSE(cache_.Find(7, WorkOf("two")).has_value());
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_misses_total 1"));
  EXPECT_EQ(cache_.Find(7, WorkOf("one"))->image, "of one");
  cache_.Keep(7, std::make_shared<const Work>(WorkOf("two")), SampleOutcome("of two"));
  EXPECT_FALSE(cache_.Find(7, WorkOf("one")).has_value());
  EXPECT_EQ(cache_.Find(7, WorkOf("two"))->image, "of two");
}

TEST_F(ResponseCacheTest, TheRequestsPictureCostsMemoryToo) {
  cache_.SetMaxBytes(1 << 20);
  cache_.Keep(1, std::make_shared<const Work>(SampleWork(100'000)), SampleOutcome());
  EXPECT_GT(cache_.bytes(), 100'000U);
}

TEST(SameRequestTest, EverythingThatDecidesTheAnswerIsPartOfIt) {
  const StylizeWork base = SampleWork();
  const std::vector<std::function<void(StylizeWork&)>> changes = {
      [](StylizeWork& work) { work.image.back() = 'y'; },
      [](StylizeWork& work) { work.style_image = "style"; },
      [](StylizeWork& work) { work.model.name = "ink"; },
      [](StylizeWork& work) { work.model.version = 4; },
      [](StylizeWork& work) { work.model.weights_sha256 = "cd"; },
      [](StylizeWork& work) { work.layout = PixelLayout::kUint8Hwc; },
      [](StylizeWork& work) { work.width = 10; },
      [](StylizeWork& work) { work.height = 10; },
      [](StylizeWork& work) { work.strength = 0.5F; },
      [](StylizeWork& work) { work.preserve_color = true; },
      [](StylizeWork& work) { work.size = 100; },
      [](StylizeWork& work) { work.format = ImageFormat::kJpeg; },
      [](StylizeWork& work) { work.format = ImageFormat::kPng; },
      [](StylizeWork& work) { work.quality = 50; },
      [](StylizeWork& work) { work.precision = Precision::kBf16; },
      [](StylizeWork& work) { work.deterministic = true; },
      [](StylizeWork& work) { work.mix = {{.label = "a", .weight = 1}}; },
      [](StylizeWork& work) { work.mix = {{.label = "a", .weight = 0.5}}; },
      [](StylizeWork& work) { work.mix = {{.label = "b", .weight = 1}}; },
  };
  EXPECT_TRUE(SameRequest(base, SampleWork()));
  std::size_t i = 0;
  for (const auto& change : changes) {
    StylizeWork work = base;
    change(work);
    EXPECT_FALSE(SameRequest(base, work)) << i;
    EXPECT_TRUE(SameRequest(work, StylizeWork(work))) << i;
    ++i;
  }
}

TEST(SameRequestTest, WhoAsksIsNoPartOfIt) {
  StylizeWork other = SampleWork();
  other.request_id = "another";
  EXPECT_TRUE(SameRequest(other, SampleWork()));
}

}  // namespace
}  // namespace atelier::server
