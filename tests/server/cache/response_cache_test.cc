#include "server/cache/response_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
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

// Kept answers cost their picture and at most this.
constexpr std::uint64_t kOverhead = 1024;

class ResponseCacheTest : public ::testing::Test {
 protected:
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  ResponseCache cache_{registry_};
};

TEST_F(ResponseCacheTest, IsOffUntilItIsGivenMemory) {
  EXPECT_FALSE(cache_.enabled());
  cache_.Keep("a", SampleOutcome());
  EXPECT_EQ(cache_.bytes(), 0U);
  cache_.SetMaxBytes(1 << 20);
  EXPECT_TRUE(cache_.enabled());
  EXPECT_FALSE(cache_.Find("a").has_value());
}

TEST_F(ResponseCacheTest, GivesBackWhatWasKept) {
  cache_.SetMaxBytes(1 << 20);
  StylizeOutcome outcome = SampleOutcome("picture");
  outcome.format = ImageFormat::kWebp;
  outcome.warnings = {"a warning"};
  outcome.compute_s = 0.5;
  cache_.Keep("a", outcome);
  const auto found = cache_.Find("a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->image, "picture");
  EXPECT_EQ(found->format, ImageFormat::kWebp);
  EXPECT_EQ(found->width, 64U);
  EXPECT_EQ(found->warnings, outcome.warnings);
  EXPECT_EQ(found->compute_s, 0.5);
  EXPECT_FALSE(cache_.Find("b").has_value());
}

TEST_F(ResponseCacheTest, HitsMissesAndBytesAreFigures) {
  cache_.SetMaxBytes(1 << 20);
  cache_.Keep("a", SampleOutcome());
  cache_.Find("a");
  cache_.Find("a");
  cache_.Find("b");
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_hits_total 2"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_response_cache_misses_total 1"));
  EXPECT_THAT(Metrics(),
              HasSubstr("atelier_response_cache_bytes " + std::to_string(cache_.bytes())));
}

TEST_F(ResponseCacheTest, TheLeastRecentlyUsedGoesFirst) {
  cache_.SetMaxBytes(2 * (1000 + kOverhead));
  const StylizeOutcome outcome = SampleOutcome(std::string(1000, 'x'));
  cache_.Keep("a", outcome);
  cache_.Keep("b", outcome);
  EXPECT_TRUE(cache_.Find("a").has_value());
  cache_.Keep("c", outcome);
  EXPECT_TRUE(cache_.Find("a").has_value());
  EXPECT_FALSE(cache_.Find("b").has_value());
  EXPECT_TRUE(cache_.Find("c").has_value());
  EXPECT_LE(cache_.bytes(), 2 * (1000 + kOverhead));
}

TEST_F(ResponseCacheTest, AnAnswerLargerThanTheCacheIsNotKept) {
  cache_.SetMaxBytes(3000);
  cache_.Keep("small", SampleOutcome(std::string(1000, 'x')));
  cache_.Keep("large", SampleOutcome(std::string(3000, 'x')));
  EXPECT_TRUE(cache_.Find("small").has_value());
  EXPECT_FALSE(cache_.Find("large").has_value());
}

TEST_F(ResponseCacheTest, TheSameKeyIsKeptOnce) {
  cache_.SetMaxBytes(1 << 20);
  cache_.Keep("a", SampleOutcome("one"));
  const std::uint64_t once = cache_.bytes();
  cache_.Keep("a", SampleOutcome("two"));
  EXPECT_EQ(cache_.bytes(), once);
  EXPECT_EQ(cache_.Find("a")->image, "two");
}

TEST_F(ResponseCacheTest, LessMemoryHoldsAtOnce) {
  cache_.SetMaxBytes(1 << 20);
  for (const char* key : {"a", "b", "c"}) {
    cache_.Keep(key, SampleOutcome(std::string(1000, 'x')));
  }
  cache_.SetMaxBytes(1000 + kOverhead);
  EXPECT_LE(cache_.bytes(), 1000 + kOverhead);
  EXPECT_TRUE(cache_.Find("c").has_value());
  cache_.SetMaxBytes(0);
  EXPECT_EQ(cache_.bytes(), 0U);
  EXPECT_FALSE(cache_.enabled());
}

TEST_F(ResponseCacheTest, ManyThreadsUseItAtOnce) {
  constexpr std::uint64_t kLimit = 20'000;
  cache_.SetMaxBytes(kLimit);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string key = std::to_string((t + i) % 40);
        if (const auto found = cache_.Find(key); found.has_value()) {
          EXPECT_EQ(found->image, std::string(500, key.front()));
        }
        cache_.Keep(key, SampleOutcome(std::string(500, key.front())));
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

TEST(CacheKeyTest, EverythingThatDecidesTheAnswerIsPartOfIt) {
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
  std::vector<std::string> keys = {CacheKey(base)};
  for (const auto& change : changes) {
    StylizeWork work = base;
    change(work);
    const std::string key = CacheKey(work);
    EXPECT_THAT(keys, ::testing::Not(::testing::Contains(key))) << keys.size();
    keys.push_back(key);
  }
}

TEST(CacheKeyTest, WhoAsksIsNoPartOfIt) {
  StylizeWork other = SampleWork();
  other.request_id = "another";
  EXPECT_EQ(CacheKey(other), CacheKey(SampleWork()));
}

TEST(CacheKeyTest, BytesDoNotMoveBetweenPictures) {
  StylizeWork one = SampleWork();
  one.image = "ab";
  one.style_image = "c";
  StylizeWork two = SampleWork();
  two.image = "a";
  two.style_image = "bc";
  EXPECT_NE(CacheKey(one), CacheKey(two));
}

}  // namespace
}  // namespace atelier::server
