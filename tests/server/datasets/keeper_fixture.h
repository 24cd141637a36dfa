// Data sets in a temporary folder, with uses that the test tells.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/datasets/dataset_keeper.h"
#include "server/datasets/dataset_uploads.h"
#include "tests/server/support/dataset_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {

class KeeperTest : public testing::Test {
 protected:
  KeeperTest() {
    std::filesystem::create_directories(sets());
    Open();
  }

  std::filesystem::path sets() const { return folder_ / "datasets"; }

  // As a server's start does.
  void Open() {
    uploads_.reset();
    keeper_.reset();
    catalog_ = *DatasetCatalog::Create({.named = named_, .datasets_directory = sets()});
    keeper_ = *DatasetKeeper::Create({.catalog = catalog_.get(),
                                      .directory = sets(),
                                      .limits = limits_,
                                      .uses = [this](std::string_view) { return uses_; },
                                      .room = room_.get(),
                                      .clock = &clock_});
    gatherer_ = std::make_unique<PictureGatherer>(
        PictureGatherer::Options{.keeper = keeper_.get(), .converter = &converter_});
    uploads_ = *DatasetUploads::Create({.keeper = keeper_.get(),
                                        .gatherer = gatherer_.get(),
                                        .directory = sets() / ".uploads",
                                        .import_roots = {folder_ / "imports"},
                                        .clock = &clock_});
  }

  void Make(const std::string& name) {
    const auto made = keeper_->CreateSet(name, {.license = "CC0-1.0"});
    EXPECT_TRUE(made.ok()) << made.status();
  }

  test::TempDir folder_;
  test::FakeClock clock_;
  test::FakeGatherer converter_;
  std::unique_ptr<DiskRoom> room_;  // null: that of the real disk
  DatasetLimits limits_;
  std::vector<DatasetUse> uses_;
  std::vector<std::pair<std::string, std::filesystem::path>> named_;
  std::unique_ptr<DatasetCatalog> catalog_;
  std::unique_ptr<DatasetKeeper> keeper_;
  std::unique_ptr<PictureGatherer> gatherer_;
  std::unique_ptr<DatasetUploads> uploads_;
};

}  // namespace atelier::server
