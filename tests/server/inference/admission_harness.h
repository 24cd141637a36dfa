// Inference requests, and the gate they go through.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/errors.h"
#include "server/inference/inference_admission.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {

// "oil" restyles, "florals" makes patterns, "identity" is there.
class AdmissionHarness : public ::testing::Test {
 protected:
  AdmissionHarness() {
    registry_.other = testing::SamplePatternModel();
    request_ = Encoded({testing::PngHeader(64, 48)});
  }

  inference::ModelInferRequest Of(const std::string& model, const std::string& tensor,
                                  const std::string& datatype,
                                  const std::vector<std::int64_t>& shape, std::string raw) {
    inference::ModelInferRequest request;
    request.set_model_name(model);
    auto& input = *request.add_inputs();
    input.set_name(tensor);
    input.set_datatype(datatype);
    input.mutable_shape()->Add(shape.begin(), shape.end());
    request.add_raw_input_contents(std::move(raw));
    return request;
  }

  inference::ModelInferRequest Encoded(const std::vector<std::string>& pictures) {
    std::string raw;
    for (const std::string& picture : pictures) {
      AppendString(picture, raw);
    }
    return Of("oil", "image", "BYTES", {static_cast<std::int64_t>(pictures.size()), 1}, raw);
  }

  inference::ModelInferRequest Seeds(const std::vector<std::int64_t>& seeds) {
    std::string raw(seeds.size() * sizeof(std::int64_t), '\0');
    std::memcpy(raw.data(), seeds.data(), raw.size());
    return Of("florals", "seed", "INT64", {static_cast<std::int64_t>(seeds.size()), 1}, raw);
  }

  inference::InferParameter& Parameter(const std::string& name) {
    return (*request_.mutable_parameters())[name];
  }

  absl::Status Error() { return admission_.Admit(request_).status(); }
  std::string Field() { return FieldOf(Error()).value_or(Error().ToString()); }
  StylizeWork Only() {
    const auto inference = admission_.Admit(request_);
    EXPECT_TRUE(inference.ok()) << inference.status();
    return std::get<StylizeWork>(inference->works.at(0));
  }

  testing::FakeRegistry registry_;
  ServedModels models_{registry_, /*identity=*/true};
  Admission stylize_{registry_, [] { return std::string("never"); }};
  GenerateAdmission generate_{
      registry_,
      {.request_id = [] { return std::string("never"); }, .seed = [] { return std::uint64_t{1}; }}};
  InferenceAdmission admission_{models_, stylize_, generate_,
                                [] { return std::string("made-here"); }};
  inference::ModelInferRequest request_;
};

}  // namespace atelier::server
