#include "server/models/model_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "server/models/model_files.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/server/support/model_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::WriteModel;

// A store that can be told to refuse the next writes.
class FaultyStore final : public store::Store {
 public:
  explicit FaultyStore(store::Store& inner) : inner_(inner) {}
  absl::Status Read(absl::FunctionRef<absl::Status(store::Reader&)> body) override {
    return inner_.Read(body);
  }
  absl::Status Write(absl::FunctionRef<absl::Status(store::Writer&)> body) override {
    return full ? absl::ResourceExhaustedError("the server's disk is full") : inner_.Write(body);
  }

  bool full = false;

 private:
  store::Store& inner_;
};

class ModelCatalogTest : public ::testing::Test {
 protected:
  ModelCatalogTest()
      : sqlite_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})), store_(*sqlite_) {
    Open();
  }

  // Also what a restart of the server does.
  void Open() {
    catalog_ = *ModelCatalog::Create({.store = &store_,
                                      .models_directory = models_,
                                      .shipped_directory = shipped_,
                                      .clock = &clock_});
  }

  absl::StatusOr<std::uint32_t> Publish(const std::string& name, const std::string& job_id,
                                        const std::string& text = "weights") {
    WriteModel(result_, text);
    return catalog_->Publish(name, job_id, result_);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const ModelVersion& model : catalog_->List()) {
      names.push_back(model.name + "@" + std::to_string(model.version) +
                      (model.shipped ? " shipped" : ""));
    }
    return names;
  }

  void SetLabel(const std::string& name, const std::string& label, std::uint32_t version) {
    ASSERT_TRUE(
        store_.Write([&](store::Writer& writer) { return writer.SetLabel({name, label, version}); })
            .ok());
  }

  // What lies in a model's folder, hidden names too.
  std::vector<std::string> Files(const fs::path& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  test::TempDir folder_;
  const fs::path models_ = folder_ / "models";
  const fs::path shipped_ = folder_ / "shipped";
  const fs::path result_ = folder_ / "result";
  std::unique_ptr<store::SqliteStore> sqlite_;
  FaultyStore store_;
  test::FakeClock clock_;
  std::unique_ptr<ModelCatalog> catalog_;
};

TEST_F(ModelCatalogTest, APublishedModelCanBeResolvedAtOnceAndAfterARestart) {
  ASSERT_EQ(*Publish("oil", "oil-1"), 1u);
  for (int round = 0; round < 2; ++round) {
    const ModelVersion model = *catalog_->Resolve("oil");
    EXPECT_EQ(model.version, 1u);
    EXPECT_EQ(model.family, "faststyle");
    EXPECT_EQ(model.parameters, 42u);
    EXPECT_EQ(model.default_precision, Precision::kBf16);
    EXPECT_EQ(model.weights_sha256, Sha256Hex("weights"));
    EXPECT_EQ(model.job_id, "oil-1");
    EXPECT_EQ(model.create_time, clock_.Now());
    EXPECT_FALSE(model.shipped);
    EXPECT_EQ(model.directory, models_ / "oil/1");
    EXPECT_THAT(Files(model.directory),
                ElementsAre("card.md", "model.json", "weights.safetensors"));
    Open();
  }
  EXPECT_TRUE(fs::exists(result_ / "weights.safetensors"));
}

TEST_F(ModelCatalogTest, TheSameJobIsPublishedOnce) {
  ASSERT_EQ(*Publish("oil", "oil-1"), 1u);
  EXPECT_EQ(*Publish("oil", "oil-1", "other"), 1u);
  EXPECT_EQ(*Publish("oil", "oil-2"), 2u);
  EXPECT_THAT(Names(), ElementsAre("oil@1", "oil@2"));
}

TEST_F(ModelCatalogTest, AJobsCheckpointsAreVersionsBesideItsResult) {
  WriteModel(result_, "step 100");
  ASSERT_EQ(*catalog_->PublishCheckpoint("oil", "oil-1", 100, result_), 1u);
  EXPECT_EQ(*catalog_->PublishCheckpoint("oil", "oil-1", 100, result_), 1u);
  EXPECT_EQ(*catalog_->PublishCheckpoint("oil", "oil-1", 200, result_), 2u);
  EXPECT_EQ(*catalog_->PublishCheckpoint("ink", "oil-1", 100, result_), 1u);
  EXPECT_EQ(*Publish("oil", "oil-1"), 3u);
  Open();
  EXPECT_EQ(catalog_->Resolve("oil@2")->job_step, 200u);
  EXPECT_EQ(catalog_->Resolve("oil@2")->job_id, "oil-1");
  EXPECT_EQ(catalog_->Resolve("oil@3")->job_step, 0u);
  EXPECT_EQ(*catalog_->FindCheckpoint("oil", "oil-1", 200), 2u);
  EXPECT_EQ(*catalog_->FindCheckpoint("oil", "oil-1", 300), std::nullopt);
  EXPECT_EQ(*Publish("oil", "oil-1"), 3u) << "the result is still the result";
}

TEST_F(ModelCatalogTest, ShippedAndPublishedVersionsShareTheirNumbers) {
  WriteModel(shipped_ / "van-gogh/1", "a");
  WriteModel(shipped_ / "van-gogh/2", "b");
  Open();
  EXPECT_EQ(*Publish("van-gogh", "mine"), 3u);
  EXPECT_THAT(Names(), ElementsAre("van-gogh@1 shipped", "van-gogh@2 shipped", "van-gogh@3"));
  EXPECT_EQ(catalog_->Resolve("van-gogh")->version, 3u);
  EXPECT_TRUE(catalog_->Resolve("van-gogh@2")->shipped);
  Open();
  EXPECT_THAT(Names(), ElementsAre("van-gogh@1 shipped", "van-gogh@2 shipped", "van-gogh@3"));
}

TEST_F(ModelCatalogTest, AShippedVersionNeverHidesAPublishedOne) {
  ASSERT_EQ(*Publish("oil", "oil-1"), 1u);
  WriteModel(shipped_ / "oil/1", "newly shipped");
  WriteModel(shipped_ / "oil/2", "newly shipped");
  Open();
  EXPECT_THAT(Names(), ElementsAre("oil@1", "oil@2 shipped"));
}

TEST_F(ModelCatalogTest, BrokenShippedFoldersAreSkipped) {
  WriteModel(shipped_ / "good/1", "a");
  WriteModel(shipped_ / "cut-off/1", "abc");
  fs::resize_file(shipped_ / "cut-off/1/weights.safetensors", 1);
  fs::create_directories(shipped_ / "empty/1");
  fs::create_directories(shipped_ / "malformed/1");
  std::ofstream(shipped_ / "malformed/1/model.json") << "{";
  WriteModel(shipped_ / "good/01", "a");
  WriteModel(shipped_ / "good/latest", "a");
  WriteModel(shipped_ / "Not A Name/1", "a");
  std::ofstream(shipped_ / "readme.md") << "text";
  Open();
  EXPECT_THAT(Names(), ElementsAre("good@1 shipped"));
}

TEST_F(ModelCatalogTest, ANameMeansStableIfSetElseTheHighest) {
  for (const char* job : {"a", "b", "c"}) {
    ASSERT_TRUE(Publish("oil", job).ok());
  }
  EXPECT_EQ(catalog_->Resolve("oil")->version, 3u);
  SetLabel("oil", "stable", 2);
  SetLabel("oil", "trial", 1);
  Open();
  EXPECT_EQ(catalog_->Resolve("oil")->version, 2u);
  EXPECT_EQ(catalog_->Resolve("oil@stable")->version, 2u);
  EXPECT_EQ(catalog_->Resolve("oil@trial")->version, 1u);
  EXPECT_EQ(catalog_->Resolve("oil@3")->version, 3u);
  EXPECT_THAT(catalog_->Resolve("oil")->labels, ElementsAre("stable"));
}

TEST_F(ModelCatalogTest, WhatDoesNotExistIsNotFoundAndTheSentenceListsWhatDoes) {
  ASSERT_TRUE(Publish("oil", "a").ok());
  for (const auto& [reference, sentence] :
       {std::pair{"ink", "the models are: oil"}, std::pair{"oil@9", "its versions are: 1"},
        std::pair{"oil@best", "its labels are: none"}}) {
    const absl::Status status = catalog_->Resolve(reference).status();
    EXPECT_TRUE(absl::IsNotFound(status)) << reference;
    EXPECT_THAT(std::string(status.message()), HasSubstr(sentence));
    EXPECT_EQ(ResourceOf(status)->type, "model");
  }
  const absl::Status malformed = catalog_->Resolve("../etc").status();
  EXPECT_TRUE(absl::IsInvalidArgument(malformed));
  EXPECT_EQ(FieldOf(malformed), "model");
}

TEST_F(ModelCatalogTest, AResultThatIsNotWholeIsDataLoss) {
  const std::vector<std::function<void()>> damages = {
      [&] { fs::remove(result_ / "model.json"); },
      [&] { fs::remove(result_ / "weights.safetensors"); },
      [&] { fs::resize_file(result_ / "weights.safetensors", 3); },
      [&] { std::ofstream(result_ / "weights.safetensors") << "WEIGHTS"; },
      [&] { fs::remove_all(result_); },
  };
  for (const auto& damage : damages) {
    WriteModel(result_, "weights");
    damage();
    EXPECT_TRUE(absl::IsDataLoss(catalog_->Publish("oil", "a", result_).status()));
  }
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_FALSE(fs::exists(models_ / "oil/1"));
}

TEST_F(ModelCatalogTest, LinksInAResultAreNotFollowed) {
  WriteModel(result_, "weights");
  fs::rename(result_ / "weights.safetensors", folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", result_ / "weights.safetensors");
  EXPECT_TRUE(absl::IsDataLoss(catalog_->Publish("oil", "a", result_).status()));
}

TEST_F(ModelCatalogTest, AStoreThatRefusesLeavesNoFolderAndTheNextTryWorks) {
  store_.full = true;
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("oil", "a").status()));
  EXPECT_FALSE(fs::exists(models_ / "oil/1"));
  EXPECT_THAT(Names(), ElementsAre());
  store_.full = false;
  EXPECT_EQ(*Publish("oil", "a"), 1u);
}

TEST_F(ModelCatalogTest, ACrashWhileStagingLeavesNothingAfterTheRestart) {
  WriteModel(models_ / "oil/.staging-1", "half");
  Open();
  EXPECT_THAT(Files(models_ / "oil"), ElementsAre());
}

TEST_F(ModelCatalogTest, ACrashBeforeTheRowLeavesNothingAfterTheRestart) {
  WriteModel(result_, "weights");
  ASSERT_TRUE(StageModel(result_, models_ / "oil", 1).ok());
  Open();
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_FALSE(fs::exists(models_ / "oil/1"));
  EXPECT_EQ(*Publish("oil", "a"), 1u);
}

TEST_F(ModelCatalogTest, ACrashBehindTheRowKeepsTheModel) {
  ASSERT_TRUE(Publish("oil", "a").ok());
  std::ofstream(models_ / "oil/1/.publishing") << "";
  Open();
  EXPECT_THAT(Names(), ElementsAre("oil@1"));
  EXPECT_FALSE(fs::exists(models_ / "oil/1/.publishing"));
}

TEST_F(ModelCatalogTest, SomebodysOwnFolderIsNeitherServedNorReplaced) {
  WriteModel(models_ / "oil/1", "by hand");
  Open();
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_EQ(*Publish("oil", "a"), 2u);
  EXPECT_TRUE(fs::exists(models_ / "oil/1/model.json"));
}

TEST_F(ModelCatalogTest, AVersionWhoseFolderIsGoneIsNotListedAndItsNumberIsNotReused) {
  ASSERT_TRUE(Publish("oil", "a").ok());
  fs::remove_all(models_ / "oil/1");
  Open();
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_EQ(*Publish("oil", "b"), 2u);
}

TEST_F(ModelCatalogTest, ResolvingGoesOnWhileModelsArePublished) {
  ASSERT_TRUE(Publish("oil", "first").ok());
  std::thread publisher([this] {
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(catalog_->Publish("oil", "job-" + std::to_string(i), result_).ok());
    }
  });
  std::uint32_t version = 0;
  while (version < 6) {
    const std::uint32_t present = catalog_->Resolve("oil")->version;
    EXPECT_GE(present, version);
    version = present;
  }
  publisher.join();
  EXPECT_EQ(catalog_->List().size(), 6u);
}

}  // namespace
}  // namespace atelier::server
