#include "tests/integration/pictures.h"

#include <gtest/gtest.h>

#include <fstream>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>
#include <vector>

#include "tests/worker/serve/random_model.h"

namespace atelier::test {

std::string MakePicture(int width, int height, int seed, const std::string& extension) {
  cv::RNG random(static_cast<std::uint64_t>(seed) + 1);
  const auto color = [&] {
    return cv::Scalar(random.uniform(0, 256), random.uniform(0, 256), random.uniform(0, 256));
  };
  cv::Mat picture(height, width, CV_8UC3, color());
  for (int i = 0; i < 6; ++i) {
    const cv::Point center(random.uniform(0, width), random.uniform(0, height));
    cv::circle(picture, center, std::min(width, height) / 5 + 1, color(), cv::FILLED);
  }
  cv::Mat noise(height, width, CV_8UC3);
  random.fill(noise, cv::RNG::UNIFORM, 0, 24);
  picture += noise;
  std::vector<unsigned char> bytes;
  EXPECT_TRUE(cv::imencode(extension, picture, bytes));
  return {bytes.begin(), bytes.end()};
}

void MakeDataset(const std::filesystem::path& folder, int count, int seed) {
  std::filesystem::create_directories(folder);
  for (int i = 0; i < count; ++i) {
    std::ofstream(folder / ("picture-" + std::to_string(i) + ".jpg"), std::ios::binary)
        << MakePicture(96, 80, seed + i);
  }
}

std::filesystem::path MakeShippedModels(const std::filesystem::path& folder) {
  WriteRandomModel(folder / "random" / "1", 1);
  return folder;
}

v1::StylizeRequest StylizeRequestFor(const std::string& model, std::string image) {
  v1::StylizeRequest request;
  request.set_model(model);
  request.set_image(std::move(image));
  return request;
}

v1::CreateJobRequest TinyJob(const std::string& job_id, const std::string& output_model,
                             std::uint64_t steps) {
  v1::CreateJobRequest request;
  request.mutable_spec()->set_job_id(job_id);
  request.mutable_spec()->set_output_model(output_model);
  v1::TrainSpec* train = request.mutable_spec()->mutable_train();
  train->set_family("faststyle");
  train->set_tier("lite");
  train->mutable_data()->set_content("content");
  train->mutable_data()->set_style("style");
  train->set_steps(steps);
  train->set_batch_size(1);
  train->set_image_size(64);
  train->set_seed(1);
  // bf16, the default, is computed in software where the CPU lacks it: minutes for a test.
  train->set_precision(v1::PRECISION_FP32);
  train->set_checkpoint_every_steps(5);
  train->set_sample_every_epochs(2);
  train->mutable_faststyle()->set_style_size(96);
  return request;
}

void UseFamily(v1::TrainSpec& train, const std::string& family) {
  train.set_family(family);
  train.clear_tier();
  train.clear_faststyle();
}

}  // namespace atelier::test
