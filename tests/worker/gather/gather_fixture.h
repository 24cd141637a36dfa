// A data set that pictures are gathered into.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "tests/support/temp_dir.h"
#include "worker/gather/picture_set.h"
#include "worker/gather/sources.h"

namespace atelier::gather {

class GatherTest : public testing::Test {
 protected:
  GatherTest() { std::filesystem::create_directories(folder_ / "present"); }

  void Put(const std::string& path, const std::string& bytes) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(folder_ / path, bytes).ok());
  }

  // Fresh `made`; what the source adds to what is present.
  absl::StatusOr<GatherReport> Gather(const std::string& field,
                                      const std::function<absl::Status(PictureSet&)>& add) {
    std::filesystem::remove_all(folder_ / "made");
    ATELIER_ASSIGN_OR_RETURN(const auto set, PictureSet::Create({.present = folder_ / "present",
                                                                 .made = folder_ / "made",
                                                                 .field = field,
                                                                 .skip_bad = skip_bad_,
                                                                 .limits = limits_}));
    ATELIER_RETURN_IF_ERROR(add(*set));
    return set->Finish();
  }

  absl::StatusOr<GatherReport> GatherArchive(const std::string& name) {
    return Gather("archive", [&](PictureSet& set) {
      return AddArchive(folder_ / name, limits_.max_entries, set);
    });
  }

  absl::StatusOr<GatherReport> GatherFolder(const std::string& below) {
    return Gather("folder", [&](PictureSet& set) {
      return AddFolder(folder_ / "root", below, limits_.max_entries, set);
    });
  }

  // Paths of the files that were made, sorted, without hidden ones.
  std::vector<std::string> Made() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "made")) {
      if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.')) {
        paths.push_back(entry.path().lexically_relative(folder_ / "made").string());
      }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  test::TempDir folder_;
  bool skip_bad_ = false;
  GatherLimits limits_ = {.max_pictures = 200'000,
                          .max_set_bytes = 1 << 30,
                          .max_added_bytes = 1 << 30,
                          .max_entries = 100'000};
};

}  // namespace atelier::gather
