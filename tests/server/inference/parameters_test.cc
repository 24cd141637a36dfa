#include "server/inference/parameters.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "tests/server/inference/admission_harness.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;

using ParametersTest = AdmissionHarness;

TEST_F(ParametersTest, ControlsAreParameters) {
  Parameter("atelier_strength").set_double_param(0.5);
  Parameter("atelier_preserve_color").set_bool_param(true);
  Parameter("atelier_size").set_int64_param(100);
  Parameter("atelier_format").set_string_param("webp");
  Parameter("atelier_quality").set_uint64_param(80);
  Parameter("atelier_precision").set_string_param("bf16");
  Parameter("atelier_deterministic").set_bool_param(true);
  const StylizeWork work = Only();
  EXPECT_EQ(work.strength, 0.5F);
  EXPECT_TRUE(work.preserve_color);
  EXPECT_EQ(work.size, 100U);
  EXPECT_EQ(work.format, ImageFormat::kWebp);
  EXPECT_EQ(work.quality, 80U);
  EXPECT_EQ(work.precision, Precision::kBf16);
  EXPECT_TRUE(work.deterministic);
}

TEST_F(ParametersTest, ControlsOutOfRangeAreNamedAsParameters) {
  const auto refused = [this](const std::string& name, auto set) {
    request_.clear_parameters();
    set(Parameter(name));
    EXPECT_EQ(Field(), "parameters." + name);
  };
  refused("atelier_strength", [](auto& value) { value.set_double_param(1.5); });
  refused("atelier_strength", [](auto& value) { value.set_double_param(std::nan("")); });
  refused("atelier_strength", [](auto& value) { value.set_int64_param(-1); });
  refused("atelier_strength", [](auto& value) { value.set_string_param("1"); });
  refused("atelier_strength", [](auto& /*value*/) {});
  refused("atelier_preserve_color", [](auto& value) { value.set_int64_param(1); });
  refused("atelier_size", [](auto& value) { value.set_int64_param(15); });
  refused("atelier_size", [](auto& value) { value.set_int64_param(-1); });
  refused("atelier_size", [](auto& value) { value.set_int64_param((1LL << 32) + 100); });
  refused("atelier_size", [](auto& value) { value.set_double_param(100); });
  refused("atelier_format", [](auto& value) { value.set_string_param("gif"); });
  refused("atelier_quality", [](auto& value) { value.set_int64_param(0); });
  refused("atelier_precision", [](auto& value) { value.set_string_param("fp8"); });
  refused("atelier_precision", [](auto& value) { value.set_string_param("int8"); });
  refused("atelier_mix", [](auto& value) { value.set_string_param("oil"); });
  refused("atelier_mix", [](auto& value) { value.set_string_param("oil=0.5,ink=0.5"); });
}

TEST_F(ParametersTest, PixelsHaveNoFormat) {
  request_ = Of("oil", "image", "UINT8", {1, 20, 30, 3}, std::string(20UL * 30 * 3, 'a'));
  Parameter("atelier_format").set_string_param("png");
  EXPECT_EQ(Field(), "parameters.atelier_format");
}

TEST_F(ParametersTest, ParametersThatNobodyKnowsAreRefused) {
  Parameter("atelier_sharpness").set_double_param(1);
  EXPECT_EQ(Field(), "parameters");
  EXPECT_THAT(Error().message(), HasSubstr("atelier_strength"));
  request_.clear_parameters();
  Parameter("strength").set_double_param(1);
  EXPECT_EQ(Field(), "parameters");
  request_.clear_parameters();
  Parameter("sequence_id").set_int64_param(1);
  EXPECT_TRUE(absl::IsUnimplemented(Error()));
  // Triton's clients send these.
  request_.clear_parameters();
  Parameter("triton_enable_empty_final_response").set_bool_param(true);
  Parameter("triton_anything").set_string_param("");
  EXPECT_TRUE(Error().ok()) << Error();
}

TEST_F(ParametersTest, PriorityAndTimeoutAreTerms) {
  const auto terms = [this] { return admission_.Admit(request_)->terms; };
  EXPECT_EQ(terms().priority, Priority::kNormal);
  EXPECT_EQ(terms().timeout, absl::InfiniteDuration());
  const std::pair<std::uint64_t, Priority> levels[] = {
      {0, Priority::kNormal}, {1, Priority::kHigh}, {2, Priority::kNormal}, {3, Priority::kLow}};
  for (const auto& [level, priority] : levels) {
    Parameter("priority").set_uint64_param(level);
    EXPECT_EQ(terms().priority, priority) << level;
  }
  Parameter("priority").set_uint64_param(4);
  EXPECT_EQ(Field(), "parameters.priority");
  Parameter("priority").set_string_param("1");
  EXPECT_EQ(Field(), "parameters.priority");
  request_.clear_parameters();
  Parameter("timeout").set_int64_param(1'500'000);
  EXPECT_EQ(terms().timeout, absl::Milliseconds(1500));
  Parameter("timeout").set_int64_param(0);
  EXPECT_EQ(terms().timeout, absl::InfiniteDuration());
  for (const std::int64_t wrong : {std::int64_t{-1}, std::int64_t{86'400'000'001}}) {
    Parameter("timeout").set_int64_param(wrong);
    EXPECT_EQ(Field(), "parameters.timeout") << wrong;
  }
}

}  // namespace
}  // namespace atelier::server
