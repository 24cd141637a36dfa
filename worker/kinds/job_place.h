// Where a job of these kinds reads, writes and computes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace atelier::kinds {

struct JobPlace {
  std::string job_id;                       // for cards; may be empty
  std::filesystem::path attempt_directory;  // this attempt's
  // Those of earlier attempts, the newest first; what they have left is gone on from.
  std::vector<std::filesystem::path> earlier_attempts;
  // EfficientNet-Lite0 (.pth); EfficientNet-Lite1, the judge, lies beside it.
  std::filesystem::path feature_weights;
  int threads = 0;             // 0: LibTorch's choice
  std::string device = "cpu";  // or "cuda:N"

  std::filesystem::path judge_weights() const {
    return feature_weights.parent_path() / "efficientnet_lite1.pth";
  }
};

}  // namespace atelier::kinds
