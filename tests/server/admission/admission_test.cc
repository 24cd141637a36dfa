#include "server/admission/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "common/errors.h"
#include "server/admission/call_terms.h"
#include "server/admission/controls.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

using testing::FakeRegistry;
using testing::PngHeader;

class AdmissionTest : public ::testing::Test {
 protected:
  v1::StylizeRequest Good() {
    v1::StylizeRequest request;
    request.set_image(PngHeader(64, 48));
    request.set_model("oil");
    return request;
  }

  FakeRegistry registry_;
  Admission admission_{registry_, [] { return std::string("made-here"); }};
};

TEST_F(AdmissionTest, AbsentControlsTakeTheirDefaults) {
  registry_.model.default_precision = Precision::kBf16;
  const auto work = admission_.Admit(Good());
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->strength, 1.0F);
  EXPECT_FALSE(work->preserve_color);
  EXPECT_EQ(work->size, 0U);
  EXPECT_EQ(work->format, std::nullopt);
  EXPECT_EQ(work->quality, 95U);
  EXPECT_EQ(work->precision, Precision::kBf16);
  EXPECT_EQ(work->request_id, "made-here");
  EXPECT_EQ(work->model.version, 3U);
  EXPECT_EQ(work->image, PngHeader(64, 48));
  EXPECT_EQ(work->layout, PixelLayout::kEncoded);
  EXPECT_EQ(work->width, 64U);
  EXPECT_EQ(work->height, 48U);
  EXPECT_FALSE(work->deterministic);
}

TEST_F(AdmissionTest, TermsAreReadOfTheirFields) {
  v1::StylizeRequest request = Good();
  EXPECT_EQ(TermsOf(request)->priority, Priority::kNormal);
  EXPECT_EQ(TermsOf(request)->timeout, absl::InfiniteDuration());
  request.set_priority(v1::PRIORITY_HIGH);
  request.set_timeout_ms(86'400'000);
  EXPECT_TRUE(admission_.Admit(request).ok());
  EXPECT_EQ(TermsOf(request)->priority, Priority::kHigh);
  EXPECT_EQ(TermsOf(request)->timeout, absl::Hours(24));
  request.set_priority(v1::PRIORITY_LOW);
  request.set_timeout_ms(1);
  EXPECT_EQ(TermsOf(request)->priority, Priority::kLow);
  EXPECT_EQ(TermsOf(request)->timeout, absl::Milliseconds(1));
}

TEST_F(AdmissionTest, DeterministicIsPassedOn) {
  v1::StylizeRequest request = Good();
  request.set_deterministic(true);
  EXPECT_TRUE(admission_.Admit(request)->deterministic);
}

TEST_F(AdmissionTest, PixelsHaveTheSizeThatIsTold) {
  v1::StylizeRequest controls;
  controls.set_model("oil");
  const auto picture = [](std::uint64_t width, std::uint64_t height, std::size_t bytes) {
    return Picture{.bytes = std::string(bytes, 'x'),
                   .layout = PixelLayout::kUint8Hwc,
                   .width = width,
                   .height = height};
  };
  const auto work = admission_.Admit(controls, picture(20, 16, 20UL * 16 * 3));
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->layout, PixelLayout::kUint8Hwc);
  EXPECT_EQ(work->width, 20U);
  EXPECT_EQ(work->height, 16U);
  const auto field = [&](Picture wrong) {
    return FieldOf(admission_.Admit(controls, std::move(wrong)).status());
  };
  EXPECT_EQ(field(picture(20, 16, 20 * 16 * 3 - 1)), "image");
  EXPECT_EQ(field(picture(20, 15, 20UL * 15 * 3)), "image");
  EXPECT_EQ(field(picture(4097, 16, 4097UL * 16 * 3)), "image");
  EXPECT_EQ(field(picture(0, 0, 0)), "image");
  // Sides whose product is small once it has wrapped around 64 bits.
  EXPECT_EQ(field(picture(1ULL << 32, 1ULL << 32, 0)), "image");
  controls.set_format(v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(field(picture(20, 16, 20UL * 16 * 3)), "format");
}

TEST_F(AdmissionTest, ResultsOfPixelsFitIntoAMessage) {
  v1::StylizeRequest controls;
  controls.set_model("oil");
  const auto picture = [] {
    return Picture{.bytes = std::string(16UL * 16 * 3 * 4, '\0'),
                   .layout = PixelLayout::kFp32Chw,
                   .width = 16,
                   .height = 16};
  };
  controls.set_size(2048);  // 48 MiB
  EXPECT_TRUE(admission_.Admit(controls, picture()).ok());
  controls.set_size(4096);  // 192 MiB
  EXPECT_EQ(FieldOf(admission_.Admit(controls, picture()).status()), "size");
}

TEST_F(AdmissionTest, ZeroAndFalseAreValuesOfTheirOwn) {
  v1::StylizeRequest request = Good();
  request.set_strength(0);
  request.set_preserve_color(false);
  request.set_format(v1::IMAGE_FORMAT_WEBP);
  request.set_precision(v1::PRECISION_BF16);
  request.set_size(256);
  request.set_quality(1);
  request.set_request_id("order 7/a");
  const auto work = admission_.Admit(request);
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->strength, 0.0F);
  EXPECT_EQ(work->format, ImageFormat::kWebp);
  EXPECT_EQ(work->precision, Precision::kBf16);
  EXPECT_EQ(work->size, 256U);
  EXPECT_EQ(work->quality, 1U);
  EXPECT_EQ(work->request_id, "order 7/a");
}

struct BadRequest {
  const char* field;
  std::function<void(v1::StylizeRequest&)> spoil;
};

class BadRequestTest : public AdmissionTest, public ::testing::WithParamInterface<BadRequest> {};

TEST_P(BadRequestTest, IsRefusedNamingTheField) {
  v1::StylizeRequest request = Good();
  GetParam().spoil(request);
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(FieldOf(status), GetParam().field) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadRequestTest,
    ::testing::Values(
        BadRequest{"image", [](auto& r) { r.clear_image(); }},
        BadRequest{"image", [](auto& r) { r.set_image("just some text"); }},
        BadRequest{"image", [](auto& r) { r.set_image(PngHeader(60000, 60000)); }},
        BadRequest{"image", [](auto& r) { r.set_image(PngHeader(1, 1)); }},
        BadRequest{"image", [](auto& r) { r.set_image(PngHeader(64, 48).substr(0, 20)); }},
        BadRequest{"image", [](auto& r) { r.mutable_image()->resize(40 << 20); }},
        BadRequest{"model", [](auto& r) { r.clear_model(); }},
        BadRequest{"strength", [](auto& r) { r.set_strength(7); }},
        BadRequest{"strength", [](auto& r) { r.set_strength(-0.01F); }},
        BadRequest{"strength",
                   [](auto& r) { r.set_strength(std::numeric_limits<float>::quiet_NaN()); }},
        BadRequest{"strength",
                   [](auto& r) { r.set_strength(std::numeric_limits<float>::infinity()); }},
        BadRequest{"size", [](auto& r) { r.set_size(0); }},
        BadRequest{"size", [](auto& r) { r.set_size(15); }},
        BadRequest{"size", [](auto& r) { r.set_size(4097); }},
        BadRequest{"quality", [](auto& r) { r.set_quality(0); }},
        BadRequest{"quality", [](auto& r) { r.set_quality(101); }},
        BadRequest{"variations", [](auto& r) { r.set_variations(0); }},
        BadRequest{"variations", [](auto& r) { r.set_variations(9); }},
        BadRequest{"variations", [](auto& r) { r.set_variations(2); }},
        BadRequest{"seed", [](auto& r) { r.set_seed(0); }},
        BadRequest{"format", [](auto& r) { r.set_format(static_cast<v1::ImageFormat>(9)); }},
        BadRequest{"precision", [](auto& r) { r.set_precision(static_cast<v1::Precision>(9)); }},
        BadRequest{"priority", [](auto& r) { r.set_priority(static_cast<v1::Priority>(9)); }},
        BadRequest{"timeout_ms", [](auto& r) { r.set_timeout_ms(0); }},
        BadRequest{"timeout_ms", [](auto& r) { r.set_timeout_ms(86'400'001); }},
        BadRequest{"request_id", [](auto& r) { r.set_request_id(""); }},
        BadRequest{"request_id", [](auto& r) { r.set_request_id("two\nlines"); }},
        BadRequest{"request_id", [](auto& r) { r.set_request_id(std::string(129, 'a')); }}));

TEST_F(AdmissionTest, ControlsThatTheModelLacksAreRefused) {
  registry_.model.capabilities = {};
  v1::StylizeRequest request = Good();
  request.set_preserve_color(false);
  EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "preserve_color");
  registry_.model.capabilities = {"strength", "size"};
  EXPECT_EQ(admission_.Admit(request).status().message(),
            "preserve_color: model oil does not have this control; its capabilities are "
            "\"strength\", \"size\"");
  request = Good();
  request.set_variations(1);  // one result is what every model makes
  EXPECT_TRUE(admission_.Admit(request).ok());
}

TEST_F(AdmissionTest, Int8IsOfInt8ModelsAndNothingElseIs) {
  v1::StylizeRequest int8 = Good();
  int8.set_precision(v1::PRECISION_INT8);
  const absl::Status refused = admission_.Admit(int8).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(refused), "precision");
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("quantize"));

  registry_.model.default_precision = Precision::kInt8;
  for (const v1::StylizeRequest& request : {int8, Good()}) {
    const auto work = admission_.Admit(request);
    ASSERT_TRUE(work.ok()) << work.status();
    EXPECT_EQ(work->precision, Precision::kInt8);
  }
  for (const v1::Precision other : {v1::PRECISION_FP32, v1::PRECISION_BF16}) {
    v1::StylizeRequest request = Good();
    request.set_precision(other);
    EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "precision");
  }
}

TEST_F(AdmissionTest, ModelsOfPatternsAreForGenerate) {
  registry_.model = testing::SamplePatternModel();
  v1::StylizeRequest request = Good();
  request.set_model("florals");
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(FieldOf(status), "model");
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("GenerateService.Generate"));
}

TEST_F(AdmissionTest, AMixtureIsCheckedAgainstTheModelsStyles) {
  v1::StylizeRequest request = Good();
  const auto add = [&request](const std::string& label, float weight) {
    v1::StyleShare& share = *request.add_mix();
    share.set_label(label);
    share.set_weight(weight);
  };
  add("renoir", 0.5F);
  EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "mix") << "the model has one style";
  registry_.model.capabilities.emplace_back("mix");
  registry_.model.classes = {"cezanne", "renoir"};
  add("cezanne", 2);
  const auto work = admission_.Admit(request);
  ASSERT_TRUE(work.ok()) << work.status();
  ASSERT_EQ(work->mix.size(), 2U);
  EXPECT_EQ(work->mix[0].label, "renoir");
  EXPECT_EQ(work->mix[0].weight, 0.5F);
  EXPECT_TRUE(admission_.Admit(Good())->mix.empty());
  add("monet", 1);
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "mix");
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("cezanne, renoir"));
}

TEST_F(AdmissionTest, AStylePictureIsCheckedLikeThePicture) {
  v1::StylizeRequest request = Good();
  request.set_style_image(PngHeader(64, 64));
  EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "style_image")
      << "the model has learnt its style";
  registry_.model.capabilities.emplace_back("style_image");
  const auto work = admission_.Admit(request);
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->style_image, PngHeader(64, 64));
  EXPECT_EQ(FieldOf(admission_.Admit(Good()).status()), "style_image") << "it is required";
  for (const std::string& bad :
       {std::string(), std::string("some text"), PngHeader(60000, 64), PngHeader(1, 1),
        PngHeader(64, 64).substr(0, 20), std::string(40 << 20, ' ')}) {
    request.set_style_image(bad);
    const absl::Status status = admission_.Admit(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(FieldOf(status), "style_image") << status;
  }
  request.set_image(PngHeader(64, 48) + std::string(32 << 20, ' '));
  request.mutable_image()->resize(32 << 20);
  request.set_style_image(request.image());
  EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "style_image")
      << "both together do not fit into a message";
}

TEST_F(AdmissionTest, UnknownModelIsNotFound) {
  v1::StylizeRequest request = Good();
  request.set_model("water");
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ResourceOf(status)->name, "water");
}

TEST(RandomRequestIdTest, IsPrintableAndNew) {
  const std::string id = RandomRequestId();
  EXPECT_THAT(id, ::testing::MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(id.size(), 16U);
  EXPECT_NE(id, RandomRequestId());
}

}  // namespace
}  // namespace atelier::server
