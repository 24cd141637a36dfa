#include "server/transfer/model_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "server/models/model_catalog.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/server/support/transfer_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using test::HeaderOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr std::uint64_t kMaxBytes = 1000;

class ModelTransferTest : public testing::Test {
 protected:
  ModelTransferTest()
      : store_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})),
        catalog_(*ModelCatalog::Create(
            {.store = store_.get(), .models_directory = folder_ / "models", .clock = &clock_})) {
    Open();
  }

  // Also what a restart of the server does.
  void Open() {
    transfer_ = *ModelTransfer::Create({.models = catalog_.get(),
                                        .converter = &converter_,
                                        .directory = directory_,
                                        .max_import_bytes = kMaxBytes});
  }

  absl::StatusOr<ModelVersion> Import(const v1::ImportModelHeader& header,
                                      const std::vector<std::string>& chunks) {
    auto upload = transfer_->BeginImport(header);
    if (!upload.ok()) {
      return upload.status();
    }
    for (const std::string& chunk : chunks) {
      if (absl::Status taken = (*upload)->Append(chunk); !taken.ok()) {
        return taken;
      }
    }
    return transfer_->FinishImport(*std::move(upload), stop_.get_token());
  }

  bool NothingIsLeft() const { return fs::is_empty(directory_); }

  test::TempDir folder_;
  const fs::path directory_ = folder_ / "transfers";
  test::FakeClock clock_;
  test::FakeConverter converter_;
  std::stop_source stop_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<ModelCatalog> catalog_;
  std::unique_ptr<ModelTransfer> transfer_;
};

TEST_F(ModelTransferTest, AFileInPiecesBecomesAVersion) {
  const auto model = Import(HeaderOf("monet", "abcdef"), {"ab", "c", "def"});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name, "monet");
  EXPECT_EQ(model->version, 1u);
  EXPECT_EQ(model->job_id, "");
  EXPECT_EQ(model->weights_sha256, Sha256Hex("abcdef"));
  EXPECT_EQ(*ReadFile(model->directory / "weights.safetensors", 100), "abcdef");
  EXPECT_TRUE(NothingIsLeft());
  // Not idempotent: the same bytes again are another version.
  EXPECT_EQ(Import(HeaderOf("monet", "abcdef"), {"abcdef"})->version, 2u);
}

TEST_F(ModelTransferTest, ImportsOfOneNameAtATimeGiveConsecutiveVersions) {
  std::vector<std::thread> threads;
  std::vector<std::uint32_t> versions(4);
  for (std::size_t i = 0; i < versions.size(); ++i) {
    threads.emplace_back([this, i, &versions] {
      const std::string bytes = "weights " + std::to_string(i);
      const auto model = Import(HeaderOf("monet", bytes), {bytes});
      EXPECT_TRUE(model.ok()) << model.status();
      versions[i] = model.ok() ? model->version : 0;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(versions, UnorderedElementsAre(1u, 2u, 3u, 4u));
}

TEST_F(ModelTransferTest, TheConverterIsToldWhatTheHeaderSays) {
  ImportTask seen;
  converter_.convert = [&](const fs::path& folder, const std::stop_token&) {
    const ConvertTask task = ReadConvertTask(folder).value();
    seen = std::get<ImportTask>(task.work);
    EXPECT_GT(task.memory_bytes, 1u << 30);
    EXPECT_GT(task.file_bytes, 1u << 20);
    return absl::UnknownError("seen");
  };
  v1::ImportModelHeader header = HeaderOf("monet", "x");
  header.set_family("cut");
  header.set_precision(v1::PRECISION_BF16);
  header.set_file_name("latest_net_G.pth");
  header.set_source("https://example.org");
  header.set_license("CC0");
  header.set_card("# More\n\tthan this");
  EXPECT_EQ(Import(header, {"x"}).status(), absl::UnknownError("seen"));
  EXPECT_EQ(seen.family, "cut");
  EXPECT_EQ(seen.precision, Precision::kBf16);
  EXPECT_EQ(seen.file_name, "latest_net_G.pth");
  EXPECT_EQ(seen.sha256, Sha256Hex("x"));
  EXPECT_EQ(seen.source, "https://example.org");
  EXPECT_EQ(seen.license, "CC0");
  EXPECT_EQ(seen.card, "# More\n\tthan this");
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelTransferTest, HeadersOutOfRangeNameTheirField) {
  using Spoil = std::function<void(v1::ImportModelHeader&)>;
  const std::vector<std::pair<const char*, Spoil>> cases = {
      {"header.name", [](auto& h) { h.set_name(""); }},
      {"header.name", [](auto& h) { h.set_name("../etc"); }},
      {"header.family", [](auto& h) { h.set_family("stylegan"); }},
      {"header.precision", [](auto& h) { h.set_precision(static_cast<v1::Precision>(9)); }},
      {"header.precision", [](auto& h) { h.set_precision(v1::PRECISION_INT8); }},
      {"header.sha256", [](auto& h) { h.set_sha256("abc"); }},
      {"header.sha256", [](auto& h) { h.set_sha256(std::string(64, 'G')); }},
      {"header.size", [](auto& h) { h.set_size(0); }},
      {"header.size", [](auto& h) { h.set_size(kMaxBytes + 1); }},
      {"header.file_name", [](auto& h) { h.set_file_name("a/b"); }},
      {"header.file_name", [](auto& h) { h.set_file_name(std::string(256, 'a')); }},
      {"header.source", [](auto& h) { h.set_source("two\nlines"); }},
      {"header.license", [](auto& h) { h.set_license(std::string(201, 'a')); }},
      {"header.card", [](auto& h) { h.set_card("\x1b[31mred"); }},
      {"header.card", [](auto& h) { h.set_card(std::string((64 << 10) + 1, 'a')); }},
  };
  for (const auto& [field, spoil] : cases) {
    v1::ImportModelHeader header = HeaderOf("monet", "x");
    spoil(header);
    const absl::Status status = transfer_->BeginImport(header).status();
    EXPECT_EQ(FieldOf(status), field) << status;
  }
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelTransferTest, BytesThatAreMissingTooManyOrWrongMakeNoVersion) {
  const absl::Status short_of = Import(HeaderOf("monet", "abc"), {"ab"}).status();
  EXPECT_EQ(FieldOf(short_of), "header.size");
  EXPECT_THAT(std::string(short_of.message()), HasSubstr("only 2 came"));
  EXPECT_EQ(FieldOf(Import(HeaderOf("monet", "abc"), {"ab", "cd"}).status()), "chunk");
  EXPECT_TRUE(absl::IsDataLoss(Import(HeaderOf("monet", "abc"), {"abd"}).status()));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_TRUE(catalog_->List().empty());
}

TEST_F(ModelTransferTest, AnUploadThatIsGivenUpLeavesNothing) {
  {
    auto upload = transfer_->BeginImport(HeaderOf("monet", "abc"));
    ASSERT_TRUE(upload.ok() && (*upload)->Append("ab").ok());
    EXPECT_FALSE(NothingIsLeft());
  }
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelTransferTest, WhatACrashLeftGoesAtTheNextStart) {
  fs::create_directories(directory_ / "a1b2c3/model");
  std::ofstream(directory_ / "a1b2c3/input") << "half";
  Open();
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelTransferTest, AFailedConversionIsTheAnswerAndLeavesNothing) {
  converter_.convert = [](const fs::path& folder, const std::stop_token&) {
    test::WriteConvertedModel(folder);
    return absl::InvalidArgumentError("The weights belong to no network known here.");
  };
  EXPECT_TRUE(absl::IsInvalidArgument(Import(HeaderOf("monet", "abc"), {"abc"}).status()));
  // One that claims success but left no model.
  converter_.convert = [](const fs::path&, const std::stop_token&) { return absl::OkStatus(); };
  EXPECT_TRUE(absl::IsDataLoss(Import(HeaderOf("monet", "abc"), {"abc"}).status()));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_TRUE(catalog_->List().empty());
}

TEST_F(ModelTransferTest, ACancelledImportIsNotPublished) {
  converter_.convert = [this](const fs::path& folder, const std::stop_token&) {
    test::WriteConvertedModel(folder);
    stop_.request_stop();
    return absl::OkStatus();
  };
  EXPECT_TRUE(absl::IsCancelled(Import(HeaderOf("monet", "abc"), {"abc"}).status()));
  EXPECT_TRUE(catalog_->List().empty());
}

TEST_F(ModelTransferTest, TwoImportsAtOnceDoNotCountOnTheSameRoom) {
  // Each needs its file three times, and 16 MiB stay free.
  std::uint64_t free_bytes = (16ULL << 20U) + 5 * 6;
  DiskRoom room([&] { return absl::StatusOr<std::uint64_t>(free_bytes); });
  transfer_ = *ModelTransfer::Create({.models = catalog_.get(),
                                      .converter = &converter_,
                                      .directory = directory_,
                                      .max_import_bytes = kMaxBytes,
                                      .room = &room});
  auto first = transfer_->BeginImport(HeaderOf("monet", "abcdef"));
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = transfer_->BeginImport(HeaderOf("degas", "ghijkl")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(second)) << second;
  EXPECT_TRUE(RetryDelayOf(second).has_value());
  EXPECT_THAT(std::string(second.message()), HasSubstr("no room"));
  // What has come is on the disk and no longer promised.
  ASSERT_TRUE((*first)->Append("abcdef").ok());
  free_bytes -= 6;
  EXPECT_FALSE(transfer_->BeginImport(HeaderOf("degas", "ghijkl")).ok());
  ASSERT_TRUE(transfer_->FinishImport(*std::move(first), stop_.get_token()).ok());
  EXPECT_TRUE(transfer_->BeginImport(HeaderOf("degas", "ghijkl")).ok());
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelTransferTest, WithoutAConverterNothingIsTaken) {
  converter_.ready = absl::FailedPreconditionError("no atelier-worker");
  EXPECT_TRUE(absl::IsFailedPrecondition(transfer_->BeginImport(HeaderOf("m", "x")).status()));
}

TEST_F(ModelTransferTest, AModelIsExportedWithItsSizeAndChecksum) {
  ASSERT_TRUE(Import(HeaderOf("monet", "abc"), {"abc"}).ok());
  {
    const auto exported =
        transfer_->Export("monet", WeightsFormat::kTorchPickle, stop_.get_token());
    ASSERT_TRUE(exported.ok()) << exported.status();
    EXPECT_EQ(exported->model.version, 1u);
    EXPECT_EQ(exported->file_name, "monet-1.pth");
    EXPECT_EQ(exported->size, 3u);
    EXPECT_EQ(exported->sha256, Sha256Hex("abc"));
    EXPECT_EQ(*ReadFile(exported->file, 100), "abc");
  }
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_TRUE(absl::IsNotFound(
      transfer_->Export("manet", WeightsFormat::kTorchPickle, stop_.get_token()).status()));
}

}  // namespace
}  // namespace atelier::server
