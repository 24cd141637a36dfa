#include "server/admission/generate_admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>

#include "common/errors.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using testing::FakeRegistry;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class GenerateAdmissionTest : public ::testing::Test {
 protected:
  GenerateAdmissionTest() {
    registry_.model = testing::SamplePatternModel();
    registry_.other = testing::SampleModel();
  }

  v1::GenerateRequest Good() {
    v1::GenerateRequest request;
    request.set_model("florals");
    return request;
  }

  // A model that is told words instead of labels.
  void TellWords() {
    registry_.model.classes = {};
    registry_.model.vocabulary = {"blue", "dress", "striped"};
    registry_.model.capabilities = {"generate", "seed", "text", "attributes"};
  }

  FakeRegistry registry_;
  GenerateAdmission admission_{registry_,
                               {.request_id = [] { return std::string("made-here"); },
                                .seed = [] { return std::uint64_t{4}; }}};
};

TEST_F(GenerateAdmissionTest, AbsentControlsTakeTheirDefaults) {
  registry_.model.default_precision = Precision::kBf16;
  const auto work = admission_.Admit(Good());
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_THAT(work->seeds, ElementsAre(4));
  EXPECT_FALSE(work->interpolate_to.has_value());
  EXPECT_EQ(work->truncation, 1.0);
  EXPECT_EQ(work->size, 0U);
  EXPECT_EQ(work->format, ImageFormat::kPng);
  EXPECT_EQ(work->quality, 95U);
  EXPECT_EQ(work->precision, Precision::kBf16);
  EXPECT_EQ(work->request_id, "made-here");
  EXPECT_EQ(work->model.version, 3U);
}

TEST_F(GenerateAdmissionTest, ZeroIsAValueOfItsOwn) {
  v1::GenerateRequest request = Good();
  request.set_seed(0);
  request.set_truncation(0);
  request.set_interpolate_to(0);
  const auto work = admission_.Admit(request);
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->seeds.size(), 8U) << "the default with interpolate_to";
  EXPECT_EQ(work->seeds.front(), 0U);
  EXPECT_EQ(work->truncation, 0.0);
  EXPECT_EQ(work->interpolate_to, 0U);
}

TEST_F(GenerateAdmissionTest, SeedsCountUpAndWrapAround) {
  v1::GenerateRequest request = Good();
  request.set_count(3);
  request.set_seed(std::numeric_limits<std::uint64_t>::max() - 1);
  EXPECT_THAT(admission_.Admit(request)->seeds, ElementsAre(request.seed(), request.seed() + 1, 0));
}

TEST_F(GenerateAdmissionTest, SeedsThatAreGivenAreTaken) {
  const auto work = admission_.Admit(Good(), {9, 3, 9});
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_THAT(work->seeds, ElementsAre(9U, 3U, 9U));
  EXPECT_EQ(work->labels.size(), 3U);
}

TEST_F(GenerateAdmissionTest, ASeedDrawsItsLabelWhateverTheRequest) {
  v1::GenerateRequest request = Good();
  std::set<std::uint32_t> drawn;
  for (std::uint64_t seed = 0; seed < 32; seed += 8) {
    request.set_seed(seed);
    request.set_count(8);
    const auto many = admission_.Admit(request);
    ASSERT_TRUE(many.ok()) << many.status();
    drawn.insert(many->labels.begin(), many->labels.end());
    request.set_seed(seed + 5);
    request.clear_count();
    EXPECT_THAT(admission_.Admit(request)->labels, ElementsAre(many->labels[5]));
    request.set_interpolate_to(1);
    EXPECT_THAT(admission_.Admit(request)->labels, ::testing::Each(many->labels[5]));
    request.clear_interpolate_to();
  }
  EXPECT_EQ(drawn.size(), 2U);
}

TEST_F(GenerateAdmissionTest, ALabelIsThatOfAllPictures) {
  v1::GenerateRequest request = Good();
  request.set_count(2);
  request.set_label("stripes");
  EXPECT_THAT(admission_.Admit(request)->labels, ElementsAre(1, 1));
}

TEST_F(GenerateAdmissionTest, AnUnknownLabelListsTheKnownOnes) {
  v1::GenerateRequest request = Good();
  request.set_label("plaid");
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(FieldOf(status), "label");
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"dots\", \"stripes\""));
}

TEST_F(GenerateAdmissionTest, WordsOfTextAndAttributesCountOnce) {
  TellWords();
  v1::GenerateRequest request = Good();
  request.set_text("Blue, velvet DRESS!");
  request.add_attributes("blue");
  const auto work = admission_.Admit(request);
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_THAT(work->words, ElementsAre("blue", "dress"));
  EXPECT_THAT(work->warnings, ElementsAre(HasSubstr("\"velvet\"")));
  EXPECT_THAT(work->labels, IsEmpty());
  EXPECT_THAT(admission_.Admit(Good())->words, IsEmpty());
}

TEST_F(GenerateAdmissionTest, TextWithoutAKnownWordListsTheKnownOnes) {
  TellWords();
  v1::GenerateRequest request = Good();
  for (const char* text : {"", "velvet", "?!"}) {
    request.set_text(text);
    const absl::Status status = admission_.Admit(request).status();
    EXPECT_EQ(FieldOf(status), "text") << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"blue\", \"dress\", \"striped\""));
  }
  request.clear_text();
  request.add_attributes("Blue");
  EXPECT_EQ(FieldOf(admission_.Admit(request).status()), "attributes") << "no spelling is guessed";
}

struct BadGenerate {
  const char* field;
  std::function<void(v1::GenerateRequest&)> spoil;
};

class BadGenerateTest : public GenerateAdmissionTest,
                        public ::testing::WithParamInterface<BadGenerate> {};

TEST_P(BadGenerateTest, IsRefusedNamingTheField) {
  v1::GenerateRequest request = Good();
  GetParam().spoil(request);
  const absl::Status status = admission_.Admit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(FieldOf(status), GetParam().field) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadGenerateTest,
    ::testing::Values(
        BadGenerate{"model", [](auto& r) { r.clear_model(); }},
        BadGenerate{"model", [](auto& r) { r.set_model("oil"); }},  // restyles pictures
        BadGenerate{"count", [](auto& r) { r.set_count(0); }},
        BadGenerate{"count", [](auto& r) { r.set_count(9); }},
        BadGenerate{"count",
                    [](auto& r) {
                      r.set_count(1);
                      r.set_interpolate_to(3);
                    }},
        BadGenerate{"size", [](auto& r) { r.set_size(0); }},
        BadGenerate{"size", [](auto& r) { r.set_size(15); }},
        BadGenerate{"size", [](auto& r) { r.set_size(1025); }},
        BadGenerate{"truncation", [](auto& r) { r.set_truncation(1.01); }},
        BadGenerate{"truncation", [](auto& r) { r.set_truncation(-0.1); }},
        BadGenerate{"truncation",
                    [](auto& r) { r.set_truncation(std::numeric_limits<double>::quiet_NaN()); }},
        BadGenerate{"label", [](auto& r) { r.set_label(""); }},
        BadGenerate{"text", [](auto& r) { r.set_text("blue"); }},  // it has labels instead
        BadGenerate{"text", [](auto& r) { r.set_text(std::string(201, 'a')); }},
        BadGenerate{"attributes", [](auto& r) { r.add_attributes("blue"); }},
        BadGenerate{"attributes",
                    [](auto& r) {
                      for (int i = 0; i < 17; ++i) {
                        r.add_attributes("blue");
                      }
                    }},
        BadGenerate{"format", [](auto& r) { r.set_format(static_cast<v1::ImageFormat>(9)); }},
        BadGenerate{"quality", [](auto& r) { r.set_quality(0); }},
        BadGenerate{"precision", [](auto& r) { r.set_precision(static_cast<v1::Precision>(9)); }},
        BadGenerate{"precision", [](auto& r) { r.set_precision(v1::PRECISION_INT8); }},
        BadGenerate{"request_id", [](auto& r) { r.set_request_id(""); }}));

TEST_F(GenerateAdmissionTest, ControlsThatTheModelLacksAreRefused) {
  registry_.model.capabilities = {"generate"};
  const auto refused = [&](auto ask) {
    v1::GenerateRequest request = Good();
    ask(request);
    return FieldOf(admission_.Admit(request).status());
  };
  EXPECT_EQ(refused([](auto& r) { r.set_seed(1); }), "seed");
  EXPECT_EQ(refused([](auto& r) { r.set_size(64); }), "size");
  EXPECT_EQ(refused([](auto& r) { r.set_label("dots"); }), "label");
  EXPECT_EQ(refused([](auto& r) { r.set_truncation(1); }), "truncation");
  EXPECT_EQ(refused([](auto& r) { r.set_interpolate_to(1); }), "interpolate_to");
  EXPECT_EQ(refused([](auto& r) { r.set_precision(v1::PRECISION_FP32); }), "precision");
}

TEST_F(GenerateAdmissionTest, UnknownModelIsNotFound) {
  v1::GenerateRequest request = Good();
  request.set_model("water");
  EXPECT_EQ(admission_.Admit(request).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace atelier::server
