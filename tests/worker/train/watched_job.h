// Tiny jobs whose files are looked at afterwards.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "common/family.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/train/trainer.h"

namespace atelier::train {

inline void WritePicture(const std::filesystem::path& path, int seed) {
  torch::manual_seed(seed);
  const torch::Tensor smooth =
      torch::upsample_bicubic2d(torch::rand({1, 3, 5, 5}), {80, 80}, false).clamp(0, 1);
  colored::Write(path, smooth[0].permute({1, 2, 0}).mul(255).to(torch::kUInt8).contiguous());
}

// A content and a style set of six pictures, and jobs on them.
class Watched : public testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    for (int i = 0; i < 6; ++i) {
      WritePicture(root() / "content" / (std::to_string(i) + ".png"), i);
      WritePicture(root() / "style" / (std::to_string(i) + ".png"), 50 + i);
    }
  }

  std::filesystem::path root() const { return directory_.path(); }
  std::filesystem::path attempts() const { return root() / "attempts"; }

  static TrainConfig Small(const char* family) {
    TrainConfig config;
    config.family = family;
    const Family& row = *FindFamily(family);
    row.set_defaults(config);
    config.content_dataset = "content";
    config.style_dataset = row.has_style ? "style" : "";
    config.image_size = 64;
    config.base_channels = 4;
    config.gan.channels = 4;
    config.batch_size = 2;
    config.seed = 5;
    config.steps = 8;
    config.checkpoint_every_steps = 4;
    config.sample_every_epochs = 1000;
    config.precision = Precision::kFp32;
    // With six blocks instead of nine.
    if (config.family == "cyclegan") {
      config.tier = "base";
    } else if (config.family == "cut") {
      config.generator = "cut-resnet-6";
    }
    return config;
  }

  // Measured every two steps with as few pictures as a metric allows.
  static TrainConfig Measured(const char* family) {
    TrainConfig config = Small(family);
    config.evaluate.every_steps = 2;
    config.evaluate.pictures = 4;
    return config;
  }

  TrainJob Job(const TrainConfig& config, const std::string& attempt) const {
    TrainJob job;
    job.config = config;
    job.content_directory = root() / "content";
    job.style_directory = config.style_dataset.empty() ? std::filesystem::path() : root() / "style";
    job.attempt_directory = attempts() / attempt;
    job.feature_weights =
        std::filesystem::path(ATELIER_BINARY_DIR) / "share/atelier/features/efficientnet_lite0.pth";
    return job;
  }

  // The lines of stats.jsonl that have metrics, by step.
  std::map<std::int64_t, nlohmann::json> Measurements(const std::string& attempt) const {
    std::map<std::int64_t, nlohmann::json> measurements;
    std::ifstream file(attempts() / attempt / "stats.jsonl");
    for (std::string line; std::getline(file, line);) {
      const nlohmann::json json = nlohmann::json::parse(line);
      for (const auto& [key, value] : json.items()) {
        if (key.starts_with("metric/")) {
          measurements[json["step"]][key] = value;
        }
      }
    }
    return measurements;
  }

  void ExpectEqualFiles(const std::string& a, const std::string& b) const {
    EXPECT_EQ(*Sha256HexOfFile(attempts() / a), *Sha256HexOfFile(attempts() / b)) << b;
  }

  test::TempDir directory_;
};

}  // namespace atelier::train
