#include "server/inference/inference_admission.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "tests/server/inference/admission_harness.h"

namespace atelier::server {
namespace {

using inference::ModelInferRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::PngHeader;

using InferenceAdmissionTest = AdmissionHarness;

TEST_F(InferenceAdmissionTest, AnEncodedPictureBecomesWork) {
  const auto inference = admission_.Admit(request_);
  ASSERT_TRUE(inference.ok()) << inference.status();
  EXPECT_EQ(inference->model, "oil");
  EXPECT_EQ(inference->version, 3U);
  EXPECT_EQ(inference->kind, InferenceKind::kStylize);
  EXPECT_THAT(inference->shape, ElementsAre(1, 1));
  ASSERT_EQ(inference->works.size(), 1U);
  const auto& work = std::get<StylizeWork>(inference->works.front());
  EXPECT_EQ(work.image, PngHeader(64, 48));
  EXPECT_EQ(work.layout, PixelLayout::kEncoded);
  EXPECT_EQ(work.width, 64U);
  EXPECT_EQ(work.height, 48U);
  EXPECT_EQ(work.request_id, "made-here");
  EXPECT_EQ(work.strength, 1.0F);
}

TEST_F(InferenceAdmissionTest, EveryPictureOfABatchIsWorkOfItsOwn) {
  request_ = Encoded({PngHeader(64, 48), PngHeader(32, 16), PngHeader(64, 48)});
  request_.set_id("order-7");
  const auto inference = admission_.Admit(request_);
  ASSERT_TRUE(inference.ok()) << inference.status();
  ASSERT_EQ(inference->works.size(), 3U);
  EXPECT_EQ(std::get<StylizeWork>(inference->works[1]).width, 32U);
  EXPECT_EQ(std::get<StylizeWork>(inference->works[2]).request_id, "order-7");
}

TEST_F(InferenceAdmissionTest, TypedBytesAndAShapeWithoutAColumnAreTaken) {
  auto& input = *request_.mutable_inputs(0);
  request_.clear_raw_input_contents();
  input.clear_shape();
  input.add_shape(1);
  input.mutable_contents()->add_bytes_contents(PngHeader(64, 48));
  EXPECT_EQ(Only().width, 64U);
}

TEST_F(InferenceAdmissionTest, ABadPictureOfABatchIsNamed) {
  request_ = Encoded({PngHeader(64, 48), "text"});
  EXPECT_EQ(Field(), "image");
  EXPECT_THAT(Error().message(), HasSubstr("picture 1 of 2"));
}

TEST_F(InferenceAdmissionTest, PixelsAreCutIntoPictures) {
  std::string pixels(2UL * 20 * 30 * 3, 'a');
  pixels.back() = 'z';
  request_ = Of("oil", "image", "UINT8", {2, 20, 30, 3}, pixels);
  const auto inference = admission_.Admit(request_);
  ASSERT_TRUE(inference.ok()) << inference.status();
  EXPECT_EQ(inference->layout, PixelLayout::kUint8Hwc);
  ASSERT_EQ(inference->works.size(), 2U);
  const auto& second = std::get<StylizeWork>(inference->works[1]);
  EXPECT_EQ(second.layout, PixelLayout::kUint8Hwc);
  EXPECT_EQ(second.width, 30U);
  EXPECT_EQ(second.height, 20U);
  EXPECT_EQ(second.image, pixels.substr(20UL * 30 * 3));
}

TEST_F(InferenceAdmissionTest, FloatPixelsArePlanes) {
  request_ = Of("oil", "image", "FP32", {1, 3, 20, 30}, std::string(3UL * 20 * 30 * 4, '\0'));
  const StylizeWork work = Only();
  EXPECT_EQ(work.layout, PixelLayout::kFp32Chw);
  EXPECT_EQ(work.width, 30U);
  EXPECT_EQ(work.height, 20U);
  const float nan = std::nanf("");
  std::memcpy(request_.mutable_raw_input_contents(0)->data() + 400, &nan, sizeof(nan));
  EXPECT_EQ(Field(), "image");
}

TEST_F(InferenceAdmissionTest, ShapesThatAreNoPicturesAreRefused) {
  const std::pair<const char*, std::vector<std::int64_t>> wrong[] = {
      {"UINT8", {1, 3, 20, 30}}, {"UINT8", {20, 30, 3}},       {"UINT8", {1, 20, 30, 4}},
      {"UINT8", {1, 15, 30, 3}}, {"UINT8", {1, 20, 15, 3}},    {"UINT8", {1, 16, 4097, 3}},
      {"UINT8", {9, 16, 16, 3}}, {"UINT8", {1, 20, 30, 3, 1}}, {"FP32", {1, 20, 30, 3}},
      {"FP32", {3, 20, 30}},     {"FP32", {9, 3, 16, 16}},     {"INT8", {1, 20, 30, 3}},
      {"FP64", {1, 3, 20, 30}}};
  for (const auto& [type, shape] : wrong) {
    std::size_t bytes = std::string_view(type) == "FP32"   ? 4
                        : std::string_view(type) == "FP64" ? 8
                                                           : 1;
    for (const std::int64_t dimension : shape) {
      bytes *= static_cast<std::size_t>(dimension);
    }
    request_ = Of("oil", "image", type, shape, std::string(bytes, '\0'));
    EXPECT_EQ(Field(), "image") << type << ShapeText(shape);
  }
}

TEST_F(InferenceAdmissionTest, ShapesThatAreNoBatchOfStringsAreRefused) {
  request_ = Encoded(std::vector<std::string>(9, PngHeader(64, 48)));
  EXPECT_EQ(Field(), "image");
  request_ = Encoded({PngHeader(64, 48), PngHeader(64, 48)});
  request_.mutable_inputs(0)->set_shape(0, 1);
  request_.mutable_inputs(0)->set_shape(1, 2);
  EXPECT_EQ(Field(), "image");
  request_.mutable_inputs(0)->set_shape(1, 1);
  EXPECT_EQ(Field(), "image");  // two strings where the shape has one
}

TEST_F(InferenceAdmissionTest, ResultsThatFitIntoNoMessageAreRefused) {
  request_ = Of("oil", "image", "FP32", {1, 3, 20, 30}, std::string(3UL * 20 * 30 * 4, '\0'));
  Parameter("atelier_size").set_int64_param(4096);
  EXPECT_EQ(Field(), "parameters.atelier_size");
  Parameter("atelier_size").set_int64_param(1024);
  EXPECT_EQ(Only().size, 1024U);
}

TEST_F(InferenceAdmissionTest, InputsAndOutputsMustBeTheModels) {
  ModelInferRequest good = request_;
  request_.mutable_inputs(0)->set_name("picture");
  EXPECT_EQ(Field(), "inputs");
  request_ = good;
  *request_.add_inputs() = good.inputs(0);
  request_.mutable_inputs(1)->set_name("more");
  request_.add_raw_input_contents(good.raw_input_contents(0));
  EXPECT_EQ(Field(), "inputs");
  request_ = good;
  request_.clear_inputs();
  EXPECT_EQ(Field(), "inputs");
  request_ = good;
  request_.add_outputs()->set_name("stylized");
  EXPECT_TRUE(Error().ok());
  request_.add_outputs()->set_name("stylized");
  EXPECT_EQ(Field(), "outputs");
  request_.mutable_outputs(1)->set_name("other");
  EXPECT_EQ(Field(), "outputs");
}

TEST_F(InferenceAdmissionTest, SharedMemoryAndClassesAreNotServed) {
  auto& parameters = *request_.add_outputs()->mutable_parameters();
  request_.mutable_outputs(0)->set_name("stylized");
  parameters["shared_memory_region"].set_string_param("region");
  EXPECT_TRUE(absl::IsUnimplemented(Error()));
  parameters.clear();
  parameters["classification"].set_int64_param(3);
  EXPECT_TRUE(absl::IsUnimplemented(Error()));
  parameters.clear();
  parameters["colour"].set_int64_param(3);
  EXPECT_EQ(Field(), "outputs");
}

TEST_F(InferenceAdmissionTest, VersionsAreDecimalNumbers) {
  request_.set_model_name("nobody");
  EXPECT_TRUE(absl::IsNotFound(Error()));
  request_.set_model_name("");
  EXPECT_EQ(Field(), "model_name");
  request_.set_model_name("oil@3");
  EXPECT_EQ(Field(), "model_name");
  request_.set_model_name("oil");
  for (const char* version : {"0", "-1", "+1", "latest", "1.0", " 1", "99999999999999999999"}) {
    request_.set_model_version(version);
    EXPECT_EQ(Field(), "model_version") << version;
  }
  request_.set_model_version("3");
  EXPECT_TRUE(Error().ok()) << Error();
  request_.set_model_version("4");
  EXPECT_TRUE(absl::IsNotFound(Error()));
}

TEST_F(InferenceAdmissionTest, IdsAreShortAndPrintable) {
  request_.set_id(std::string(129, 'x'));
  EXPECT_EQ(Field(), "id");
  request_.set_id("a\nb");
  EXPECT_EQ(Field(), "id");
  request_.set_id(std::string(128, 'x'));
  EXPECT_EQ(Only().request_id, std::string(128, 'x'));
}

TEST_F(InferenceAdmissionTest, AStyleCanBeASecondInput) {
  registry_.model.capabilities.emplace_back("style_image");
  EXPECT_EQ(Field(), "inputs");  // required then
  auto& style = *request_.add_inputs();
  style.set_name("style_image");
  style.set_datatype("BYTES");
  style.add_shape(1);
  style.add_shape(1);
  std::string raw;
  AppendString(PngHeader(32, 32), raw);
  request_.add_raw_input_contents(raw);
  EXPECT_EQ(Only().style_image, PngHeader(32, 32));
  // As many as pictures.
  AppendString(PngHeader(32, 32), *request_.mutable_raw_input_contents(1));
  request_.mutable_inputs(1)->set_shape(0, 2);
  EXPECT_EQ(Field(), "style_image");
}

TEST_F(InferenceAdmissionTest, SeedsBecomeOneWork) {
  request_ = Seeds({7, 0, 1LL << 40});
  Parameter("atelier_label").set_string_param("stripes");
  const auto inference = admission_.Admit(request_);
  ASSERT_TRUE(inference.ok()) << inference.status();
  ASSERT_EQ(inference->works.size(), 1U);
  const auto& work = std::get<GenerateWork>(inference->works.front());
  EXPECT_THAT(work.seeds, ElementsAre(7U, 0U, 1ULL << 40));
  EXPECT_THAT(work.labels, ElementsAre(1U, 1U, 1U));
  EXPECT_EQ(work.request_id, "made-here");
}

TEST_F(InferenceAdmissionTest, SeedsMustBeSmallBatchesOfWholeNumbers) {
  request_ = Seeds({-1});
  EXPECT_EQ(Field(), "seed");
  request_ = Seeds(std::vector<std::int64_t>(9, 1));
  EXPECT_EQ(Field(), "seed");
  request_ = Seeds({1});
  request_.mutable_inputs(0)->set_datatype("UINT64");
  EXPECT_EQ(Field(), "seed");
  request_ = Seeds({1});
  Parameter("atelier_strength").set_double_param(1);
  EXPECT_EQ(Field(), "parameters");
  request_.clear_parameters();
  Parameter("atelier_truncation").set_double_param(2);
  EXPECT_EQ(Field(), "parameters.atelier_truncation");
}

TEST_F(InferenceAdmissionTest, IdentityTakesBytes) {
  request_ = Of("identity", "INPUT0", "UINT8", {2, 5}, "helloworld");
  const auto inference = admission_.Admit(request_);
  ASSERT_TRUE(inference.ok()) << inference.status();
  EXPECT_EQ(inference->kind, InferenceKind::kIdentity);
  EXPECT_EQ(std::get<IdentityWork>(inference->works.at(0)).payload, "helloworld");
  EXPECT_THAT(inference->shape, ElementsAre(2, 5));
  request_.set_model_version("1");
  EXPECT_TRUE(Error().ok());
  request_.set_model_version("2");
  EXPECT_TRUE(absl::IsNotFound(Error()));
  request_.clear_model_version();
  Parameter("atelier_strength").set_double_param(1);
  EXPECT_EQ(Field(), "parameters");
  request_ = Of("identity", "INPUT0", "UINT8", {10}, "helloworld");
  EXPECT_EQ(Field(), "INPUT0");
  request_ = Of("identity", "INPUT0", "INT8", {1, 10}, "helloworld");
  EXPECT_EQ(Field(), "INPUT0");
  request_ = Of("identity", "INPUT0", "UINT8", {10, 1}, "helloworld");
  EXPECT_EQ(Field(), "INPUT0");
}

TEST_F(InferenceAdmissionTest, WithoutTheOptionThereIsNoIdentity) {
  const ServedModels models(registry_, /*identity=*/false);
  const InferenceAdmission admission(models, stylize_, generate_, [] { return std::string("r"); });
  request_ = Of("identity", "INPUT0", "UINT8", {2, 5}, "helloworld");
  EXPECT_TRUE(absl::IsNotFound(admission.Admit(request_).status()));
}

}  // namespace
}  // namespace atelier::server
